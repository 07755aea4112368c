"""Checkpoints as training scripts write them: nestings x prefixes x kinds of file, objects beside weights, and recipes."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import os
import pathlib
import pickle
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bench.core.errors import UserError
from bench.models.checkpoints import unpickled as inert
from bench.models.checkpoints.loading import load_checkpoint
from bench.models.checkpoints.reading import read_groups

State = dict[str, torch.Tensor]


@cache
def network(seed: int, name: str = "test_vit") -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=7)


def state(seed: int = 1, prefix: str = "", name: str = "test_vit") -> State:
    return {prefix + key: tensor.clone() for key, tensor in network(seed, name).state_dict().items()}


def target(name: str = "test_vit") -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3)


def loads(path: Path, seed: int = 1, name: str = "test_vit", **options: Any) -> str:
    """Every tensor of the backbone is that of `network(seed)`. -> the line that says so"""
    net = target(name)
    report = load_checkpoint(net, path, **options)
    expected = state(seed, name=name)
    assert report.backbone_share == 1 and report.missing == []
    assert all(torch.equal(net.state_dict()[key], expected[key]) for key in report.loaded)
    assert len(report.loaded) == len(expected) - 2
    return report.summary()


class Colour(enum.Enum):
    RED = 1


class Meter:
    """Of a training script; not importable where the file is read, for all that the reader knows."""

    def __init__(self) -> None:
        self.value = 1.5


class Table(dict[str, Any]):
    """A mapping of a script's own."""


# one network

NESTINGS: dict[str, Callable[[State], Any]] = {
    "nothing": lambda s: s,
    "timm": lambda s: {"epoch": 3, "arch": "test_vit", "state_dict": s, "args": argparse.Namespace(lr=0.1), "version": 2},
    "lightning": lambda s: {"state_dict": s, "optimizer_states": [adam()], "hyper_parameters": {"lr": 1}, "loops": {}},
    "torchvision": lambda s: {"model": s, "optimizer": adam(), "lr_scheduler": {"last_epoch": 3}, "scaler": {"scale": 1.0}},
    "fastai": lambda s: {"model": s, "opt": {"hypers": [{"lr": 1}], "state": [{"grad_avg": torch.zeros(3)}]}},
    "mmpretrain": lambda s: {"meta": {"epoch": 1, "CLASSES": ["a"]}, "state_dict": s, "message_hub": {"x": torch.ones(2)}},
    "unknown key": lambda s: {"network": s, "epoch": 3},
    "detectron": lambda s: {"model": s, "iteration": 9, "__author__": "x"},
    "accelerate": lambda s: {"module": s, "ds_config": {"zero": 1}},
    "swa": lambda s: {"swa_state": {"n_averaged": torch.tensor(3), **s}},
    "list of one": lambda s: [s],
    "four deep": lambda s: {"a": {"b": {"c": {"d": s}}}},
    "random state beside it": lambda s: {"weights": s, "rng": torch.get_rng_state()},
}  # fmt: skip

PREFIXES = [
    *(
        "",
        "module.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.",
        "backbone.",
        "net.",
        "timm_model.",
    ),
    *(
        "model.backbone.",
        "module.backbone.",
        "encoder.",
        "base_encoder.",
        "online_encoder.net.",
        "_forward_module.model.",
    ),
    *("image_encoder.trunk.", "0.", "student.backbone."),
]

KINDS: dict[str, Callable[[Any, Path], Any]] = {
    "w.pth": torch.save,
    "w.pth.tar": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "w.ckpt": lambda content, path: torch.save(with_objects(content), path),
    "w.pt": lambda content, path: torch.save(
        with_objects(content), path, _use_new_zipfile_serialization=False
    ),
    "w.bin": lambda content, path: torch.save(with_objects(content), path, pickle_protocol=4),
}
"""Plain and with objects beside the weights, in each of torch's formats."""


def adam() -> dict[str, Any]:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def objects() -> dict[str, Any]:
    """What training scripts write beside weights."""
    return {
        "best_acc": np.float64(0.9),
        "epoch_": np.int64(3),
        "history": np.zeros((2, 2)),
        "kind": np.dtype("float32"),
        "when": datetime.datetime(2024, 1, 1),
        "where": pathlib.PurePosixPath("/data"),
        "colour": Colour.RED,
        "options": argparse.Namespace(lr=0.1, where=pathlib.Path("x")),
        "meter": Meter(),
        "losses": collections.defaultdict(list, {"train": [1.0]}),
        "table": Table(a=1),
        "seen": collections.deque([1, 2]),
        "set_": {1, 2},
        "raw": b"bytes",
    }


def with_objects(content: Any) -> Any:
    extra = objects()
    return content | extra if isinstance(content, dict) else [*content, extra]


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_nesting_in_every_kind_of_file(tmp_path: Path, nesting: str, kind: str) -> None:
    KINDS[kind](NESTINGS[nesting](state(prefix="module.")), tmp_path / kind)
    loads(tmp_path / kind)


def prefixed() -> list[Any]:
    """Every prefix in three nestings; in the ordinary tests in one of them, in turn."""
    nestings = ["nothing", "timm", "unknown key"]
    return [
        pytest.param(nesting, prefix, marks=() if i % 3 == j else pytest.mark.long)
        for i, prefix in enumerate(PREFIXES)
        for j, nesting in enumerate(nestings)
    ]


@pytest.mark.parametrize(("nesting", "prefix"), prefixed())
def test_every_prefix(tmp_path: Path, nesting: str, prefix: str) -> None:
    torch.save(NESTINGS[nesting](state(prefix=prefix)), tmp_path / "w.pth")
    loads(tmp_path / "w.pth")
    save_file(state(prefix=prefix), tmp_path / "w.safetensors")
    loads(tmp_path / "w.safetensors")


NAMES = ["test_vit", "test_resnet", "test_convnext", "test_efficientnet"]
WRAPPERS = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"]


def wrapped() -> list[Any]:
    """Every wrapper at every place in every network; in the ordinary tests in one of the networks, in turn."""
    return [
        pytest.param(name, wrapper, which, marks=() if (i + j) % 4 == k else pytest.mark.long)
        for i, wrapper in enumerate(WRAPPERS)
        for j, which in enumerate(["one block", "every block", "head"])
        for k, name in enumerate(NAMES)
    ]


@pytest.mark.parametrize(("name", "wrapper", "which"), wrapped())
def test_parts_wrapped_by_themselves(tmp_path: Path, name: str, wrapper: str, which: str) -> None:
    at = {
        "one block": r"^((?:\w+\.)+?0)\.",
        "every block": r"^((?:[a-z_]+\d?\.)+?\d+)\.",
        "head": r"^(fc|head|classifier)\.",
    }
    wrapped = {re.sub(at[which], rf"\1.{wrapper}.", key): t for key, t in state(name=name).items()}
    assert wrapped.keys() != state(name=name).keys()
    torch.save({"model": {f"module.{key}": t for key, t in wrapped.items()}}, tmp_path / "w.pth")
    loads(tmp_path / "w.pth", name=name)


def test_a_mapping_of_a_kind_of_its_own_holds_weights(tmp_path: Path) -> None:
    torch.save({"weights_": Table(state())}, tmp_path / "w.pth")
    loads(tmp_path / "w.pth")


def test_names_and_shapes_of_salvaged_tensors(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 4)
    kinds = [
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ]
    content: dict[str, Any] = {
        "t": whole.transpose(0, 2),
        "part": whole[1:, :, ::2],
        "none": torch.empty(0, 3),
        "one": torch.tensor(5),
    }
    content |= {str(kind): whole.to(kind) for kind in kinds} | {"parameter": nn.Parameter(whole)}
    for kind in ("w.ckpt", "w.pt", "w.bin"):
        KINDS[kind](content, tmp_path / kind)
        found = read_groups(tmp_path / kind)[""]
        assert found.keys() == content.keys()
        assert all(found[k].dtype == v.dtype and torch.equal(found[k], v) for k, v in content.items())


# several networks

SEVERAL: dict[str, tuple[Callable[[State, State], Any], tuple[str, str], tuple[str, ...]]] = {
    "DINO": (
        lambda a, b: {"student": pre(a, "module.backbone."), "teacher": pre(b, "backbone."), "args": argparse.Namespace(arch="vit_small")},
        ("student", "teacher"),
        ("student.module.backbone", "module.backbone"),
    ),
    "DINOv2": (
        lambda a, b: {"model": pre(a, "student.backbone.") | pre(b, "teacher.backbone."), "iteration": 3},
        ("model.student", "model.teacher"),
        ("student", "student.backbone", "model.student.backbone"),
    ),
    "MoCo": (
        lambda a, b: {"arch": "test_vit", "state_dict": pre(a, "module.encoder_q.") | pre(b, "module.encoder_k.") | {"module.queue": torch.zeros(2, 2)}},
        ("state_dict.module.encoder_q", "state_dict.module.encoder_k"),
        ("encoder_q", "module.encoder_q"),
    ),
    "BYOL": (
        lambda a, b: {"state_dict": pre(a, "online_network.encoder.") | pre(b, "target_network.encoder.")},
        ("state_dict.online_network", "state_dict.target_network"),
        ("online_network.encoder",),
    ),
    "an average of another name": (lambda a, b: {"params": a, "params_ema": b}, ("params", "params_ema"), ()),
    "a list": (lambda a, b: {"models": [a, b]}, ("models.0", "models.1"), ()),
    "two usual names": (lambda a, b: {"state_dict": a, "model": b}, ("state_dict", "model"), ()),
    "with its average": (lambda a, b: {"state_dict": pre(a, "model.") | pre(b, "ema_model.module.")}, ("state_dict.model", "state_dict.ema_model"), ("model",)),
}  # fmt: skip


def pre(own: State, prefix: str) -> State:
    return {prefix + key: tensor for key, tensor in own.items()}


@pytest.mark.parametrize("case", SEVERAL)
@pytest.mark.parametrize("kind", ["w.pth", "w.ckpt"])
@pytest.mark.parametrize("same", [False, True])
def test_of_several_networks_none_is_taken_unasked(tmp_path: Path, case: str, kind: str, same: bool) -> None:
    make, shown, also = SEVERAL[case]
    path = tmp_path / kind
    KINDS[kind](make(state(1), state(1 if same else 2)), path)
    if same and case == "two usual names":  # written twice
        assert "key state_dict (not model)" in loads(path)
        return
    with pytest.raises(UserError) as told:
        load_checkpoint(target(), path)
    message = str(told.value)
    assert f"holds 2 networks that fit, and which is meant cannot be told: {', '.join(shown)}. " in message
    keys = re.search(r"cannot be told: (.*)\. Say", message)
    advised = re.search(r"`key: (.*)`", message)
    assert keys and advised and advised[1] in keys[1].split(", ")
    for seed, key in zip((1, 1 if same else 2), keys[1].split(", "), strict=True):
        loads(path, seed, key=key)
    for key in also:
        loads(path, 1, key=key)


def test_averaged_weights_are_taken_as_timm_does_and_said(tmp_path: Path) -> None:
    torch.save(
        {"model": state(1), "model_ema": pre(state(2), "module.") | {"n_averaged": torch.tensor(2)}},
        tmp_path / "w.pth",
    )
    assert loads(tmp_path / "w.pth", 2).startswith("w.pth, key model_ema.module (not model): 100.0%")
    loads(tmp_path / "w.pth", 1, key="model")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("techer", "has no key 'techer'; did you mean teacher?; it has student, teacher"),
        ("student.head", "has no key 'student.head'"),
        ("backbone", "key 'backbone' stands at several places: student.backbone, teacher.backbone"),
        ("student.backbone.blocks.0", "no weight of the backbone fits VisionTransformer"),
    ],
)
def test_a_wrong_key(tmp_path: Path, key: str, message: str) -> None:
    torch.save(
        {"student": pre(state(1), "backbone."), "teacher": pre(state(2), "backbone.")}, tmp_path / "w.pth"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        load_checkpoint(target(), tmp_path / "w.pth", key=key)


def test_a_wrong_key_in_a_flat_file_names_where_its_networks_begin(tmp_path: Path) -> None:
    flat = pre(state(1), "module.encoder_q.") | pre(state(2), "module.encoder_k.")
    torch.save({"state_dict": flat}, tmp_path / "w.pth")
    message = "it has state_dict.module.encoder_q, state_dict.module.encoder_k"
    with pytest.raises(UserError, match=message):
        load_checkpoint(target(), tmp_path / "w.pth", key="encoder")
    loads(tmp_path / "w.pth", 2, key="state_dict.module.encoder_k")


def test_a_second_network_that_does_not_fit_is_no_rival(tmp_path: Path) -> None:
    torch.save({"generator": state(1), "critic": state(2, name="test_resnet")}, tmp_path / "w.pth")
    loads(tmp_path / "w.pth")
    loads(tmp_path / "w.pth", 2, "test_resnet")


def test_exact_names_win_over_a_copy_within_the_network(tmp_path: Path) -> None:
    torch.save({"state_dict": state(1) | pre(state(2), "teacher.")}, tmp_path / "w.pth")
    loads(tmp_path / "w.pth", 1)
    loads(tmp_path / "w.pth", 2, key="teacher")


# refused

RECIPE = re.compile(r"`(import torch; .*)`")


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def script(path: Path) -> None:
    torch.jit.trace(network(1).eval(), torch.zeros(1, 3, 160, 160)).save(str(path))


def dump(content: Callable[[Path], Any], **options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content(path), path, **options)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a whole network": (dump(lambda path: network(1)), "holds a whole network, and is not a plain file"),
    "a whole network, nested": (dump(lambda path: {"model": network(1), "epoch": 1}), "holds a whole network"),
    "a whole network, old format": (dump(lambda path: network(1), _use_new_zipfile_serialization=False), "holds a whole network"),
    "a network in DataParallel": (dump(lambda path: nn.DataParallel(network(1))), "holds a whole network"),
    "weights beside code": (dump(lambda path: {"state_dict": state(), "x": Bomb(path.with_name("sprung"))}), "holds posix.mkdir, and is not a plain"),
    "outermost weights beside code": (dump(lambda path: state() | {"x": Bomb(path.with_name("sprung"))}), "holds posix.mkdir"),
    "weights beside code, old format": (dump(lambda path: {"net": state(), "x": Bomb(path.with_name("sprung"))}, _use_new_zipfile_serialization=False), "holds posix.mkdir"),
    "TorchScript": (script, "is a program of TorchScript"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning"
)
def test_what_the_refusal_advises_works_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    write, message = REFUSED[case]
    path = tmp_path / "w.pth"
    write(path)
    with pytest.raises(UserError, match=re.escape(message)) as told:
        load_checkpoint(target(), path)
    assert not (tmp_path / "sprung").exists()
    recipe = RECIPE.search(str(told.value))
    assert recipe, told.value
    monkeypatch.chdir(tmp_path)
    exec(recipe[1], {})
    loads(tmp_path / "w-weights.pth")


def test_two_whole_networks_are_converted_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"student": network(1), "teacher": network(2)}, tmp_path / "w.pth")
    with pytest.raises(UserError) as told:
        load_checkpoint(target(), tmp_path / "w.pth")
    recipe = RECIPE.search(str(told.value))
    assert recipe
    monkeypatch.chdir(tmp_path)
    exec(recipe[1], {})
    loads(tmp_path / "w-weights.pth", 2, key="teacher")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {"optimizer": adam(), "epoch": 1}, "but the state of an optimiser, which is no network"),
        (adam, "but the state of an optimiser, which is no network"),
        (lambda: {"epoch": np.float64(1)}, "holds no named tensors, but 'epoch'"),
        (lambda: {"weights": [np.zeros(3)]}, "holds no named tensors, but 'weights'"),
    ],
)
def test_no_weights(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    torch.save(content(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=re.escape(message)):
        load_checkpoint(target(), tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "pytorch_model-00002-of-00003.bin"])
def test_a_part_of_a_network_is_refused_as_that(tmp_path: Path, name: str) -> None:
    (save_file if name.endswith("safetensors") else torch.save)(state(), tmp_path / name)
    with pytest.raises(UserError, match=r"is one of [23] parts of a network"):
        load_checkpoint(target(), tmp_path / name)


def test_examples_are_of_what_does_not_fit(tmp_path: Path) -> None:
    own = state()
    torch.save({re.sub(r"^blocks", "layers", key): tensor for key, tensor in own.items()}, tmp_path / "w.pth")
    with pytest.raises(UserError) as told:
        load_checkpoint(target(), tmp_path / "w.pth")
    shown = re.findall(r"([\w.]+) \[", str(told.value))
    assert len(shown) == 8 and all(name.startswith(("layers.", "blocks.")) for name in shown)


# nothing pickled runs


class Named:
    """Pickled, it calls what it is named after."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args

    def pickled(self) -> bytes:
        module, _, attribute = self.name.rpartition(".")
        arguments = b"".join(b"X" + len(a).to_bytes(4, "little") + a.encode() for a in self.args)
        return b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n(" + arguments + b"tR."


@pytest.mark.parametrize(
    "name",
    [
        "os.mkdir",
        "posix.mkdir",
        "builtins.eval",
        "__builtin__.eval",
        "pathlib.Path.mkdir",
        "tests.springs.trap",
        "numpy.testing.runstring",
    ],
)
def test_a_name_in_a_pickle_is_neither_imported_nor_called(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    given = f"__import__('os').mkdir({str(trap)!r})" if "eval" in name or "run" in name else str(trap)
    torch.save({"state_dict": state()}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    header = (tmp_path / "w.pth").read_bytes()
    first = len(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))
    planted = Named(name, given).pickled()
    (tmp_path / "w.pth").write_bytes(header[:first] + planted + header[first:])
    for read in (read_groups, inert.read):
        with pytest.raises((UserError, inert.Unreadable)):
            read(tmp_path / "w.pth")
    assert not trap.exists()


def test_a_pickle_cannot_change_what_the_next_one_is_read_with(tmp_path: Path) -> None:
    """BUILD with a pair sets attributes: on a class of the reader's it would stay."""
    (tmp_path / "w.pth").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))
    attack = b"\x80\x02cx\nY\n(N}X\x05\x00\x00\x00stateK\x01stb."
    with (tmp_path / "w.pth").open("ab") as file:
        file.write(attack)
    with pytest.raises(inert.Unreadable):
        inert.read(tmp_path / "w.pth")
    assert "state" not in vars(inert.Inert) and not inert.Inert.kind
