from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bench.core.errors import UserError
from bench.models.checkpoints.load_report import LoadReport
from bench.models.checkpoints.loading import load_checkpoint
from bench.models.checkpoints.preprocessing import read_data_config


def net(name: str = "test_resnet", num_classes: int = 7, seed: int = 0, **kwargs: object) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=num_classes, **kwargs)


def same(a: nn.Module, b: nn.Module, names: list[str]) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items() if name in names)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".pth.tar"])
def test_each_kind_of_file(tmp_path: Path, suffix: str) -> None:
    source, target = net(seed=1), net(num_classes=3)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(source.state_dict(), path)
    head = target.fc.weight.clone()
    report = load_checkpoint(target, path)
    assert same(target, source, report.loaded)
    assert torch.equal(target.fc.weight, head)
    assert report.mismatched == [("fc.weight", (7, 96), (3, 96)), ("fc.bias", (7,), (3,))]
    assert (report.missing, report.unexpected, report.head) == ([], [], [])
    assert len(report.loaded) == len(source.state_dict()) - 2
    assert report.backbone_share == 1


def test_a_head_of_the_same_size_is_left_out_and_reported(tmp_path: Path) -> None:
    source, target = net(seed=1), net()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    head = target.fc.weight.clone()
    report = load_checkpoint(target, tmp_path / "w.pth")
    assert report.head == ["fc.weight", "fc.bias"]
    assert torch.equal(target.fc.weight, head)
    assert load_checkpoint(target, tmp_path / "w.pth", keep_head=True).head == []
    assert torch.equal(target.fc.weight, source.fc.weight)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_ema", "state_dict_ema"])
def test_wrappers_and_prefixes(tmp_path: Path, wrapper: str) -> None:
    source, target = net(seed=1), net(num_classes=3)
    state = {f"module.model.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"epoch": 3, wrapper: state, "optimizer": {"state": {0: torch.zeros(1)}}}, tmp_path / "w.pth")
    report = load_checkpoint(target, tmp_path / "w.pth")
    assert report.backbone_share == 1 and report.unexpected == []
    assert same(target, source, report.loaded)


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    source, average, target = net(seed=1), net(seed=2), net()
    torch.save(
        {"state_dict": source.state_dict(), "state_dict_ema": average.state_dict()}, tmp_path / "w.pth"
    )
    assert same(target, average, load_checkpoint(target, tmp_path / "w.pth").loaded)


def test_rename(tmp_path: Path) -> None:
    source, target = net(seed=1), net()
    torch.save({f"trunk/{name}": tensor for name, tensor in source.state_dict().items()}, tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"no weight of the backbone fits ResNet. .*trunk/conv1.*network has conv1"
    ):
        load_checkpoint(target, tmp_path / "w.pth")
    assert load_checkpoint(target, tmp_path / "w.pth", {"^trunk/": ""}).backbone_share == 1


def test_half_precision_weights_become_the_networks(tmp_path: Path) -> None:
    target = net()
    torch.save(net(seed=1).half().state_dict(), tmp_path / "w.pth")
    assert load_checkpoint(target, tmp_path / "w.pth").backbone_share == 1
    assert {parameter.dtype for parameter in target.parameters()} == {torch.float32}


def test_wrong_architecture(tmp_path: Path) -> None:
    torch.save(net("test_vit").state_dict(), tmp_path / "w.pth")
    before = net().state_dict()
    target = net()
    with pytest.raises(UserError, match="no weight of the backbone fits"):
        load_checkpoint(target, tmp_path / "w.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    state = net(seed=1).state_dict()
    state["layer3.0.conv2.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"layer3.0.conv2.weight holds values that are not finite"):
        load_checkpoint(net(), tmp_path / "w.pth")


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    torch.save(net("test_vit", img_size=64, seed=1).state_dict(), tmp_path / "w.pth")
    target = net("test_vit", img_size=96)
    report = load_checkpoint(target, tmp_path / "w.pth")
    assert "pos_embed" in report.loaded and report.backbone_share == 1


def test_other_shapes_are_reported(tmp_path: Path) -> None:
    state = net(seed=1).state_dict() | {"layer1.0.conv1.weight": torch.zeros(3, 3), "extra": torch.zeros(1)}
    del state["bn1.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"2 of the 75 tensors .* initial values: bn1.bias, layer1.0.conv1.weight"
    ):
        load_checkpoint(net(), tmp_path / "w.pth")
    report = load_checkpoint(net(), tmp_path / "w.pth", allow_missing=["bn1.bias", "layer1.0.conv1"])
    assert report.mismatched == [("layer1.0.conv1.weight", (3, 3), (32, 32, 3, 3))]
    assert (report.missing, report.unexpected) == (["bn1.bias"], ["extra"])
    assert 0.9 < report.backbone_share < 1


def test_data_config_of_our_own_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"data_config": '{"image_size": 32}'})
    assert read_data_config(path) == {"image_size": 32}
    save_file({"a": torch.zeros(1)}, path)
    assert read_data_config(path) == {} == read_data_config(tmp_path / "w.pth")


def test_report() -> None:
    report = LoadReport(
        ["a", "b"], [], ["x"] * 5, [("h", (1000, 8), (5, 8))], backbone_share=0.5, source="w.pth"
    )
    assert (
        report.summary()
        == "w.pth: 50.0% of the backbone's weights loaded (2 loaded, 5 unexpected, 1 mismatched)"
    )
    assert report.table().splitlines()[4:6] == [
        "unexpected           5  x, x, x, ...",
        "mismatched           1  h 1000x8 -> 5x8",
    ]


def test_real_weights_load_completely(real_data: Path) -> None:
    target = net("mobilenetv2_100", num_classes=1000, pad_type="same")
    report = load_checkpoint(target, real_data / "weights" / "mobilenetv2_100.pth", keep_head=True)
    assert (report.missing, report.unexpected, report.mismatched, report.head) == ([], [], [], [])
    assert report.backbone_share == 1


def test_real_weights_load_partially(real_data: Path) -> None:
    absent = ["^conv_head", "^bn2"]
    report = load_checkpoint(
        net("mobilenetv2_035"), real_data / "weights" / "mobilenetv2_035.pth", allow_missing=absent
    )
    assert report.missing[0] == "conv_head.weight" and {n.split(".")[0] for n in report.missing} == {
        "conv_head",
        "bn2",
    }
    assert [name for name, _, _ in report.mismatched] == ["classifier.weight", "classifier.bias"]
    assert 0.5 < report.backbone_share < 0.7
