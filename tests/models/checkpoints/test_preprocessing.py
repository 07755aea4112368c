"""What a checkpoint says of its preprocessing: found wherever scripts write it, used, and said. And what says nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.models.build import build, remarks, resolution
from bench.models.checkpoints import preprocessing as brought
from bench.planning import compose
from bench.planning.backbones import resolve
from bench.planning.load import located
from bench.planning.study import BackboneEntry
from bench.storage.places import Places
from bench.training.run.execute import execute

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
TIMM = {"mean": MEAN, "std": STD, "crop_pct": 0.8, "interpolation": "bicubic", "image_size": 64}
FULL = {"mean": MEAN, "std": STD, "crop_pct": 0.8, "interpolation": "bicubic", "input_size": [3, 64, 64]}
HF = {"image_mean": MEAN, "image_std": STD, "resample": 3, "do_normalize": True, "do_rescale": True}


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=7).state_dict()


def torch_file(**beside: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save({"state_dict": weights(), **beside}, folder / "w.pth")
        return folder / "w.pth"

    return write


def with_files(
    name: str = "model.safetensors", others: tuple[str, ...] = (), **files: Any
) -> Callable[[Path], Path]:
    """A safetensors file, and JSON beside it: `config={...}` is config.json."""

    def write(folder: Path) -> Path:
        save_file(weights(), folder / name)
        for other in others:
            (folder / other).write_bytes(b"x")
        for stem, content in files.items():
            (folder / f"{stem}.json").write_text(json.dumps(content))
        return folder / name

    return write


def namespace(**values: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{"lr": 0.1, "mean": None, "std": None, "img_size": None, "crop_pct": None, "interpolation": ""}
        | values
    )


SAID: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "timm's train.py": (torch_file(args=namespace(model="test_resnet", mean=MEAN, std=STD, img_size=64, crop_pct=0.8, interpolation="bicubic")), TIMM),
    "its input_size": (torch_file(args=namespace(mean=tuple(MEAN), std=STD, input_size=(3, 64, 64))), {"mean": MEAN, "std": STD, "image_size": 64}),
    "its defaults": (torch_file(args=namespace(model="test_resnet")), {}),
    "arguments as a mapping": (torch_file(config={"model": "test_resnet", "mean": MEAN, "std": STD}), {"mean": MEAN, "std": STD}),
    "Lightning": (torch_file(hyper_parameters={"image_mean": MEAN, "image_std": STD, "image_size": 64}), {"mean": MEAN, "std": STD, "image_size": 64}),
    "entries of the file": (torch_file(mean=MEAN, std=STD, img_size=64, arch="test_resnet"), {"mean": MEAN, "std": STD, "image_size": 64}),
    "timm's configuration before 0.8": (torch_file(default_cfg={"architecture": "test_resnet", **FULL}), TIMM),
    "a study's data_config": (torch_file(data_config=TIMM), TIMM),
    "a data_config among the arguments": (torch_file(hyper_parameters={"lr": 0.1, "data_config": FULL}), TIMM),
    "a scale of 255": (torch_file(args={"mean": [25.5, 51, 76.5], "std": [102, 127.5, 153]}), {"mean": MEAN, "std": STD}),
    "one channel": (torch_file(args={"mean": [0.5], "std": [0.25]}), {"mean": [0.5] * 3, "std": [0.25] * 3}),
    "a mean without a spread": (torch_file(args={"mean": MEAN}), {}),
    "means that mean nothing": (torch_file(args={"mean": "imagenet", "std": [0, 0, 0]}), {}),
    "sizes that are not square": (torch_file(args={"input_size": [3, 32, 64], "img_size": "big"}), {}),
    "timm's config.json": (with_files(config={"architecture": "test_resnet", "pretrained_cfg": FULL, "num_classes": 7}), TIMM),
    "timm's older config.json": (with_files(config={"architecture": "test_resnet", **FULL}), TIMM),
    "Hugging Face, shortest edge and crop": (with_files(preprocessor_config={**HF, "size": {"shortest_edge": 80}, "crop_size": {"height": 64, "width": 64}}), TIMM),
    "Hugging Face, whole image": (with_files(preprocessor_config={**HF, "size": {"height": 64, "width": 64}}), {**TIMM, "crop_pct": 1.0}),
    "Hugging Face, old sizes": (with_files(preprocessor_config={**HF, "size": 64, "crop_pct": 0.8}), TIMM),
    "Hugging Face, not normalised": (with_files(preprocessor_config={**HF, "do_normalize": False, "size": 64}), {**TIMM, "mean": [0.0] * 3, "std": [1.0] * 3, "crop_pct": 1.0}),
    "Hugging Face, not scaled": (with_files(preprocessor_config={**HF, "do_rescale": False}), {}),
    "Hugging Face, scaled to -1..1": (with_files(preprocessor_config={**HF, "rescale_factor": 1 / 127.5}), {}),
    "JSON of its own name": (with_files("mine.safetensors", ("other.pth",), mine={**FULL}), TIMM),
    "alone in its folder": (with_files("mine.safetensors", config={**FULL}), TIMM),
    "beside other checkpoints": (with_files("mine.safetensors", ("other.pth",), config={**FULL}), {}),
    "JSON of something else": (with_files(config={"name": "web", "version": 1}), {}),
    "JSON that is a list": (with_files(config=[1, 2]), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_is_used(tmp_path: Path, case: str) -> None:
    write, expected = SAID[case]
    path = write(tmp_path)
    found = brought.read(path)
    assert (
        found.data_config == pytest.approx(expected) if not expected else close(found.data_config, expected)
    )
    spec = BackboneSpec("test_resnet", "checkpoint", str(path))
    model = build(spec, 5)
    plain = build(BackboneSpec("test_resnet", "random"), 5)
    assert model.mean == pytest.approx(expected.get("mean", plain.mean))
    assert model.std == pytest.approx(expected.get("std", plain.std))
    size, crop, interpolation = resolution(BackboneSpec("test_resnet", "random"))
    assert resolution(spec)[0] == expected.get("image_size", size)
    assert resolution(spec)[1] == pytest.approx(expected.get("crop_pct", crop))
    assert resolution(spec)[2] == expected.get("interpolation", interpolation)


def close(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[k] == (b[k] if isinstance(b[k], str) else pytest.approx(b[k])) for k in a
    )


def entry(path: Path, **fields: Any) -> BackboneEntry:
    return BackboneEntry.model_validate({"name": "test_resnet", "checkpoint": path.name, **fields})


def planned(path: Path, **fields: Any) -> BackboneSpec:
    return resolve(entry(path, **fields), path.parent, lambda field: located(path, field))


@pytest.mark.parametrize("case", SAID)
def test_it_is_part_of_what_a_run_is(tmp_path: Path, case: str) -> None:
    """What stands outside the weights' own metadata, and applies, is in the identity; what does not change nothing."""
    write, expected = SAID[case]
    path = write(tmp_path)
    assert close(planned(path).data_config, expected)
    explicit = planned(path, data_config={"mean": [0, 0, 0], "std": [1, 1, 1]})
    assert explicit.data_config["mean"] == [0, 0, 0] and explicit.data_config["std"] == [1, 1, 1]


def test_files_that_say_nothing_are_the_runs_that_they_were(tmp_path: Path) -> None:
    path = torch_file()(tmp_path)
    spec = planned(path, data_config={"mean": MEAN})
    assert spec == BackboneSpec(
        "test_resnet",
        "checkpoint",
        "w.pth",
        label="test_resnet",
        content=spec.content,
        data_config={"mean": MEAN},
    )
    run = RunSpec(DatasetSpec("any"), 5, spec, compose.parse("full", {}), 0)
    assert "key" not in run.identity()["backbone"]
    assert replace(run, backbone=replace(spec, key="teacher")).run_id != run.run_id


def test_another_file_at_the_same_path_is_another_run(tmp_path: Path) -> None:
    first = planned(torch_file()(tmp_path))
    assert planned(torch_file(epoch=2)(tmp_path)).content != first.content


def test_arguments_of_the_network_come_with_it(tmp_path: Path) -> None:
    path = torch_file(
        args=namespace(
            model="test_resnet", model_kwargs={"act_layer": "silu", "num_classes": 9, "drop_rate": 0.1}
        )
    )(tmp_path)
    assert planned(path).kwargs == {"act_layer": "silu"}
    assert planned(path, kwargs={"act_layer": "gelu"}).kwargs == {"act_layer": "gelu"}
    model = build(BackboneSpec("test_resnet", "checkpoint", str(path)), 5)
    assert any(isinstance(m, torch.nn.SiLU) for m in model.modules())


def test_the_pooling_of_timms_training_script_comes_with_its_weights(tmp_path: Path) -> None:
    path = torch_file(args=namespace(model="test_resnet", gp="max"))(tmp_path)
    net: Any = build(BackboneSpec("test_resnet", "checkpoint", str(path)), 5).net
    assert net.global_pool.pool_type == "max"
    path = torch_file(args=namespace(model="test_resnet", gp=None))(tmp_path)
    assert brought.read(path).kwargs == {}
    path = torch_file(args={"gp": 10.0})(tmp_path)  # a weight of a gradient penalty, say
    assert brought.read(path).kwargs == {}


def test_what_is_taken_contradicted_and_assumed_is_said(tmp_path: Path) -> None:
    path = torch_file(args=namespace(mean=MEAN, std=STD, img_size=64))(tmp_path)
    spec = planned(path, data_config={"std": [0.5, 0.5, 0.5]})
    assert remarks(spec, 32, tmp_path) == [
        "w.pth: mean [0.1, 0.2, 0.3], as `args` in the file says",
        "w.pth: std [0.5, 0.5, 0.5], as the study says, though `args` in the file says [0.4, 0.5, 0.6]",
        "w.pth: image_size 32, as the study says, though `args` in the file says 64",
        "w.pth: nothing says with which crop_pct, interpolation it was trained, and what timm has for test_resnet is "
        "assumed: crop_pct 0.95, interpolation bilinear (`data_config` sets others)",
    ]
    assert remarks(BackboneSpec("test_resnet", "random"), 32) == []
    (said,) = remarks(planned(torch_file()(tmp_path)), 32, tmp_path)
    assert "assumed: mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5], crop_pct 0.95" in said


def test_a_configuration_that_could_be_anothers_is_said(tmp_path: Path) -> None:
    path = with_files("mine.safetensors", ("other.pth",), config={**FULL})(tmp_path)
    assert brought.read(path).unused == ("config.json lies beside several checkpoints, and is not used",)


ARCHITECTURES: dict[str, tuple[dict[str, Any], bool]] = {
    "of the same name": ({"arch": "test_resnet"}, True),
    "of the same name with a tag": ({"args": {"model": "test_resnet.r160_in1k"}}, True),
    "of no name of timm's": ({"arch": "resnet"}, True),
    "a module's name": ({"args": {"model": "my.package.Net"}}, True),
    "another": ({"arch": "resnet10t"}, False),
    "another, in Lightning": ({"hyper_parameters": {"model_name": "resnet18"}}, False),
}


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_weights_of_another_architecture_are_refused_by_name(tmp_path: Path, case: str) -> None:
    beside, fine = ARCHITECTURES[case]
    path = torch_file(**beside)(tmp_path)
    if fine:
        assert planned(path)
        return
    with pytest.raises(
        UserError, match=r"holds weights of resnet\w+ \(.*\), not of test_resnet; set `name: resnet"
    ):
        planned(path)
    assert planned(path, key="state_dict")  # of several networks in a file the name is that of one


def test_key_goes_with_a_checkpoint() -> None:
    with pytest.raises(ValueError, match="it goes with `checkpoint`"):
        BackboneEntry.model_validate({"name": "test_resnet", "random": True, "key": "teacher"})


# what runs keep

TRAIN = TrainSpec(epochs=1, image_size=32, batch_size=16, precision="fp32")
DATA = DatasetSpec("sklearn/digits")
SOURCE = BackboneSpec("test_resnet", "random", kwargs={"act_layer": "silu"}, data_config=TIMM, label="x")


def kept(folder: Path, strategy: str, **fields: Any) -> Path:
    """The file that a run of one epoch keeps."""
    spec = RunSpec(DATA, 8, replace(SOURCE, **fields), compose.parse(strategy, {}), 0, TRAIN)
    outcome = execute(spec, Places(folder, folder / "cache"), lambda *args: None, "best")
    outcome.snapshots["last"].save(folder)
    return folder / "model.safetensors"


def test_a_kept_checkpoint_brings_all_that_it_needs(tmp_path: Path) -> None:
    path = kept(tmp_path, "full")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["classes"]) == [str(k) for k in range(10)] and metadata["num_classes"] == "10"
    assert metadata["strategy"] == "full" and json.loads(metadata["versions"])["timm"] == timm.__version__
    spec = planned(path)
    model = build(spec, 10, base=tmp_path)
    assert (list(model.mean), list(model.std)) == (MEAN, STD)
    assert resolution(spec, base=tmp_path) == (32, 0.8, "bicubic")
    assert spec.kwargs == {"act_layer": "silu"} and spec.data_config == {}
    assert model.load_report.backbone_share == 1
    assert remarks(spec, 32, tmp_path) == [
        "model.safetensors: mean [0.1, 0.2, 0.3], std [0.4, 0.5, 0.6], crop_pct 0.8, interpolation bicubic, image_size 32, "
        "act_layer silu, as its metadata says"
    ]


@pytest.mark.parametrize(
    ("strategy", "loads"),
    [
        ("full", True),
        ("linear_probe", True),
        ("full + mlp_head", True),
        ("full + ema", True),
        ("full + stoch_norm", True),
        ("full + truncate", False),
        ("spot_tune", False),
    ],
)
def test_networks_that_a_strategy_changed_are_refused_and_not_loaded_in_part(
    tmp_path: Path, strategy: str, loads: bool
) -> None:
    path = kept(tmp_path, strategy)
    if not loads:
        with pytest.raises(
            UserError, match=r"was kept by a run of .* which changed the network itself: \d+ of its"
        ):
            planned(path)
        with pytest.raises(UserError, match="which changed the network itself"):
            build(BackboneSpec("test_resnet", "checkpoint", str(path)), 10)
        return
    spec = planned(path)
    model = build(spec, 10, base=tmp_path)
    stored = load_file(path)
    assert model.load_report.backbone_share == 1
    assert [n for n in model.load_report.missing if not n.startswith("fc.")] == []
    assert all(torch.equal(model.net.state_dict()[n], stored[n]) for n in model.load_report.loaded)
