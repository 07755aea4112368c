from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models.build import build, resolution

ARCHITECTURES = [
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_vit",
    "test_byobnet",
    "test_nfnet",
]


def random(name: str = "test_resnet", **fields: Any) -> BackboneSpec:
    return BackboneSpec(name, "random", **fields)


def config_file(folder: Path, config: str, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    net = timm.create_model("test_resnet", num_classes=4)
    save_file(net.state_dict(), folder / "source.safetensors", metadata={"data_config": config})
    return folder / "source.safetensors"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_is_new(name: str) -> None:
    model = build(random(name), 7)
    size = model.image_size
    assert model.num_classes == 7
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)
    assert all(7 in model.get_parameter(param).shape for param in model.head.param_names)


def test_only_the_seed_decides() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(build(random(), 5).state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert not torch.equal(weights[0]["net.fc.weight"], weights[2]["net.fc.weight"])


def test_relative_checkpoints_are_beside_the_study(tmp_path: Path) -> None:
    config_file(tmp_path, "{}")
    spec = BackboneSpec("test_resnet", "checkpoint", checkpoint="source.safetensors")
    report = build(spec, 5, base=tmp_path).load_report
    assert report.backbone_share == 1 and report.source == "source.safetensors"
    assert build(
        BackboneSpec("test_resnet", "checkpoint", checkpoint=str(tmp_path / "source.safetensors")), 5
    )
    with pytest.raises(UserError, match="no such file"):
        build(spec, 5, base=tmp_path / "elsewhere")


def test_source_checkpoints_bring_their_data_config(tmp_path: Path) -> None:
    path = config_file(tmp_path, '{"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "image_size": 48}')
    spec = BackboneSpec("test_resnet", "source", data_config={"std": [2, 2, 2]})
    model = build(spec, 5, source_checkpoint=path)
    assert (model.mean, model.std, model.image_size) == ((0.1, 0.2, 0.3), (2.0, 2.0, 2.0), 48)
    assert resolution(spec, source_checkpoint=path)[0] == 48
    assert build(spec, 5, 32, source_checkpoint=path).image_size == 32
    with pytest.raises(UserError, match="no source checkpoint"):
        build(spec, 5)


def test_timms_own_data_config_is_the_default() -> None:
    config = timm.get_pretrained_cfg("test_efficientnet").to_dict()
    spec = random("test_efficientnet")
    model = build(spec, 5)
    assert (model.mean, model.std, model.image_size) == (
        config["mean"],
        config["std"],
        config["input_size"][-1],
    )
    assert resolution(spec) == (config["input_size"][-1], config["crop_pct"], config["interpolation"])


def test_image_size() -> None:
    spec = random("test_vit", data_config={"image_size": 64, "crop_pct": 1.0, "interpolation": "bilinear"})
    assert build(spec, 5).image_size == 64
    assert build(spec, 5, 96)(torch.zeros(1, 3, 96, 96)).shape == (1, 5)
    assert resolution(spec) == (64, 1.0, "bilinear")
    assert resolution(spec, 96)[0] == 96
    assert build(random("test_resnet"), 5, 20)(torch.zeros(2, 3, 20, 20)).shape == (2, 5)


@pytest.mark.parametrize(
    ("spec", "size", "message"),
    [
        (random("tset_resnet"), None, "unknown timm model 'tset_resnet'; did you mean test_resnet"),
        (random("test_resnet.nope"), None, "Invalid pretrained tag"),
        (random("test_vit"), 65, "65 is not a multiple of .* patch size 16"),
        (random("test_vit"), 8, "patch size"),
        (random("test_vit"), 0, "image_size is 0, but must be a positive number"),
        (random(kwargs={"drop_paht_rate": 0.1}), None, "kwargs.*drop_paht_rate"),
        (random(kwargs={"global_pool": "nope"}), None, "cannot be built"),
        (
            random(kwargs={"num_classes": 3}),
            None,
            "must not contain 'num_classes': it comes from the dataset",
        ),
        (random(kwargs={"checkpoint_path": "x.pth"}), None, "set checkpoint"),
        (random(data_config={"maen": [0, 0, 0]}), None, "unknown key 'maen'; did you mean mean"),
        (random(data_config={"mean": [0, 0]}), None, "mean is .* must be three numbers"),
        (random(data_config={"std": [0, 1, 1]}), None, "three positive numbers"),
        (random(data_config={"crop_pct": 87.5}), None, r"a number in \(0, 1\]"),
        (random(data_config={"interpolation": "cubic"}), None, "one of nearest, bilinear"),
        (BackboneSpec("test_resnet", "checkpoint"), None, "no checkpoint is given"),
    ],
)
def test_wrong_input(spec: BackboneSpec, size: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec, 5, size)


def pretend_hub(monkeypatch: pytest.MonkeyPatch, fetch: Any) -> None:
    """`timm.create_model` whose pretrained weights are what `fetch(net)` makes of the random ones."""
    create = timm.create_model

    def fake(name: str, pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
        net = create(name, **kwargs)
        return fetch(net) if pretrained else net

    monkeypatch.setattr(timm, "create_model", fake)


def test_the_hub_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(net: torch.nn.Module) -> torch.nn.Module:
        raise OSError("no route to host")

    pretend_hub(monkeypatch, fetch)
    with pytest.raises(
        UserError, match=r"could not be fetched .*no route to host.*set weights to 'checkpoint'"
    ):
        build(BackboneSpec("test_resnet", "pretrained"), 5)


@pytest.mark.parametrize("num_classes", [5, 1000])
def test_pretrained_heads_are_never_kept(monkeypatch: pytest.MonkeyPatch, num_classes: int) -> None:
    def fetch(net: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if num_classes == 1000 or not name.startswith("fc"):  # timm leaves out a head of another size
                    parameter.fill_(3)
        return net

    pretend_hub(monkeypatch, fetch)
    model = build(BackboneSpec("test_resnet", "pretrained"), num_classes)
    assert not (model.net.fc.weight == 3).any()
    backbone = {name for name, _ in model.named_parameters()} & model.pretrained.keys()
    assert backbone and all((model.pretrained[name] == 3).all() for name in backbone)
    assert model.load_report.missing == ["fc.bias", "fc.weight"] and model.load_report.backbone_share == 1


@pytest.mark.parametrize(("width", "kwargs"), [("100", {"pad_type": "same"}), ("035", {})])
def test_real_checkpoints(width: str, kwargs: dict[str, Any], real_data: Path) -> None:
    name = f"mobilenetv2_{width}"
    config = {"mean": [0.5] * 3, "std": [0.5] * 3}
    absent = ("^conv_head", "^bn2") if width == "035" else ()  # that file ends before the last layer
    spec = BackboneSpec(
        name, "checkpoint", f"{name}.pth", kwargs=kwargs, data_config=config, allow_missing=absent
    )
    model = build(spec, 5, 96, base=real_data / "weights")
    assert (
        model.load_report.backbone_share == 1
        if width == "100"
        else 0.5 < model.load_report.backbone_share < 1
    )
    assert model.mean == (0.5, 0.5, 0.5)
    assert model.observe(torch.zeros(2, 3, 96, 96)).features.shape == (2, 1280)
    assert width == "035" or model.source_head()(torch.zeros(1, 1280)).shape == (1, 1000)


@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet18", "test_vit", "test_convnext"])
def test_a_new_head_starts_near_the_loss_of_chance(name: str) -> None:
    """Trap: timm draws the heads of EfficientNets from U(-1/sqrt(K), 1/sqrt(K)): logits of spread 9 on 1280 features."""
    torch.manual_seed(0)
    model = build(BackboneSpec(name, "random"), num_classes=10, image_size=64)
    head = [p for p in model.stage_parameters(model.head) if p.ndim > 1]
    assert len(head) == 1
    bound = 1 / head[0].shape[1] ** 0.5
    assert 0.5 * bound < head[0].abs().max() <= bound
