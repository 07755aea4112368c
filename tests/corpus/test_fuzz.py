"""Study files and checkpoints that nobody thought of: a study or a message, weights that are right or a message."""

from __future__ import annotations

import copy
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.models.checkpoints.loading import load_checkpoint
from bench.planning import load, plan
from tests.conftest import TINY_STUDY

SECONDS = 5  # of processor time, for any one input
short, many = (
    settings(max_examples=n, deadline=None, suppress_health_check=list(HealthCheck)) for n in (150, 10_000)
)


def parse(text: str | bytes, folder: Path, *overrides: str) -> None:
    """A plan or a `UserError`, in time; whatever else is raised fails the test."""
    path = folder / "study.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    start = time.process_time()
    try:
        study = load.load(path, overrides)
        assert len(study.all_seeds) == len(set(study.all_seeds))
        plan.make(study, path, folder / "cache")
    except UserError as error:
        assert str(error).strip()
    assert time.process_time() - start < SECONDS
    assert sorted(p.name for p in folder.iterdir()) == ["study.yaml"], "planning writes nothing"


words = st.sampled_from(
    [
        "all",
        "full",
        "linear_probe",
        "full + head_x10",
        "synthetic/fine",
        "test_resnet",
        "folder:.",
        "",
        "~",
        ".",
        "*",
    ]
)
numbers = st.one_of(st.integers(-3, 40), st.integers(), st.floats(), st.just(10**400))
scalars = st.one_of(
    st.none(), st.booleans(), numbers, words, st.text(max_size=5), st.dates(), st.binary(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(words, scalars), inner, max_size=3)
    ),
    max_leaves=5,
)
fields = [
    "name", "datasets", "backbones", "strategies", "seeds", "train", "tune", "matrix", "hyperparameters", "teachers", "store",
    "n_per_class", "similarity", "options", "label", "source", "source_train", "kwargs", "rename", "use", "freeze",
    "lr", "regularize", "epochs", "image_size", "val_share", "trials", "ranges", "search", "rule", "checkpoint",
]  # fmt: skip


@st.composite
def changed_studies(draw: st.DrawFn) -> str:
    """The tiny study with a few of its places replaced, removed or added to."""
    data = yaml.safe_load(TINY_STUDY)
    for _ in range(draw(st.integers(1, 4))):
        place: Any = data
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys)) if keys else None
            if key is None or not isinstance(place[key], dict | list) or draw(st.booleans()):
                break
            place = place[key]
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace" and key is not None:
            place[key] = draw(values)
        elif change == "remove" and key is not None:
            del place[key]
        elif isinstance(place, dict):
            place[draw(st.sampled_from(fields))] = draw(values)
        else:
            place.append(draw(values))
    return yaml.dump(data, allow_unicode=draw(st.booleans()), default_flow_style=draw(st.booleans()))


@st.composite
def changed_texts(draw: st.DrawFn) -> str:
    """The text of the tiny study with pieces of YAML put in, and pieces taken out."""
    text = TINY_STUDY
    pieces = ["[", "]", "{", "}", ":", "- ", "\n", "\t", "  ", "&a ", "*a", "!!", "!!int ", "!!set ", "|", ">", "'", '"',
              "#", "%YAML 9.9\n", "---\n", "...\n", "?", "<<: ", "\\", "@", "0x", "1_0", "1e9", ".inf", "~", "\ufeff"]  # fmt: skip
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + draw(st.sampled_from([*pieces, ""])) + text[end:]
    return text


texts = st.one_of(
    st.text(max_size=200), st.binary(max_size=200), changed_texts(), changed_studies(), values.map(yaml.dump)
)
places = st.lists(st.one_of(st.sampled_from(fields), st.sampled_from("012"), st.text(max_size=3)), max_size=4)
overrides = st.builds(
    lambda place, text: f"{'.'.join(place)}={text}",
    places,
    st.one_of(st.text(max_size=20), values.map(yaml.dump)),
)


@short
@given(texts)
def test_any_study_file(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    parse(text, tmp_path_factory.mktemp("fuzz"))


@short
@given(st.lists(overrides, min_size=1, max_size=3))
def test_any_override(tmp_path_factory: pytest.TempPathFactory, sets: list[str]) -> None:
    parse(TINY_STUDY, tmp_path_factory.mktemp("fuzz"), *sets)


@pytest.mark.long
@pytest.mark.timeout(3600)
@many
@given(texts, st.lists(overrides, max_size=2))
def test_many_study_files(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes, sets: list[str]
) -> None:
    parse(text, tmp_path_factory.mktemp("fuzz"), *sets)


@pytest.mark.parametrize(
    "piece", ["[1, ", "a: ", "- ", "? ", "'", "&a ", "{a: [", "\n ", "!!a ", "x: |\n", "# ", "0123456789, "]
)
def test_a_hundred_thousand_bytes_of_anything_end_in_time(piece: str, tmp_path: Path) -> None:
    parse(piece * (99_000 // len(piece)), tmp_path)


@cache
def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3)


@cache
def weights(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return timm.create_model(name, num_classes=7).state_dict()


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[str, dict[Any, Any]]:
    """A network, and its weights with some of them renamed, missing, of another shape or type, not finite, or wrapped."""
    name = draw(st.sampled_from(["test_resnet", "test_vit"]))
    state: dict[Any, Any] = dict(weights(name))
    for key in draw(st.lists(st.sampled_from(sorted(state)), max_size=6, unique=True)):
        tensor = state.pop(key)
        change = draw(st.sampled_from(["drop", "name", "shape", "empty", "nan", "inf", "int8", "half", "double", "complex64", "not"]))  # fmt: skip
        new_name, value = key, tensor
        if change == "drop":
            continue
        if change == "name":
            new_name = draw(st.sampled_from([f"{key}.x", key.upper(), f"model.{key}", f"other.{key}", "", 5]))
        elif change == "shape":
            value = draw(
                st.sampled_from(
                    [tensor.flatten(), tensor[None], tensor.mT if tensor.ndim > 1 else tensor.repeat(2)]
                )
            )
        elif change == "empty":
            value = tensor.new_empty(0)
        elif change in ("nan", "inf"):
            value = tensor.clone().float()
            value.view(-1)[-1] = float(change)
        elif change == "not":
            value = draw(st.sampled_from([None, "text", [1.0], {"a": tensor}]))
        else:
            value = tensor.to(getattr(torch, {"half": "float16", "double": "float64"}.get(change, change)))
        state[new_name] = value
    prefix = "".join(
        draw(
            st.lists(
                st.sampled_from(
                    ["module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "foreign."]
                ),
                max_size=2,
            )
        )
    )
    content: dict[Any, Any] = {f"{prefix}{k}" if isinstance(k, str) else k: v for k, v in state.items()}
    for wrapper in draw(
        st.lists(
            st.sampled_from(
                [
                    "state_dict_ema",
                    "model_ema",
                    "state_dict",
                    "model",
                    "model_state_dict",
                    "net",
                    "weights",
                    "unknown",
                ]
            ),
            max_size=2,
        )
    ):
        content = {wrapper: content, "epoch": 3}
    return name, content


def found_in(content: Any) -> dict[str, torch.Tensor]:
    """Every named tensor of a checkpoint, however it is wrapped."""
    found: dict[str, torch.Tensor] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= found_in(value)
        elif isinstance(value, torch.Tensor):
            found[str(key)] = value
    return found


def loads_rightly_or_says_why(name: str, content: dict[Any, Any], folder: Path) -> None:
    net = copy.deepcopy(network(name))
    before = copy.deepcopy(net.state_dict())
    torch.save(content, folder / "w.pth")
    try:
        report = load_checkpoint(net, folder / "w.pth")
    except UserError as error:
        assert "w.pth" in str(error)
        assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items()), (
            "half loaded"
        )
        return
    source = found_in(content)
    parts = [report.loaded, report.missing, [key for key, _, _ in report.mismatched], report.head]
    assert sorted(key for part in parts for key in part) == sorted(before), (
        "each tensor is accounted for, once"
    )
    assert report.backbone_share >= 0.5
    for key, tensor in net.state_dict().items():
        assert tensor.isfinite().all()
        if key not in report.loaded:
            assert torch.equal(tensor, before[key]), f"{key} changed, though it is not among the loaded"
        elif key != "pos_embed":  # which timm may resample
            origins = [
                value for k, value in source.items() if k.endswith(key) and value.shape == tensor.shape
            ]
            assert any(torch.equal(value.to(tensor.dtype), tensor) for value in origins), (
                f"{key} is not of the file"
            )


@settings(short, max_examples=50)
@given(checkpoints())
def test_any_checkpoint(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, dict[Any, Any]]) -> None:
    loads_rightly_or_says_why(*drawn, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(many, max_examples=3_000)
@given(checkpoints())
def test_many_checkpoints(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, dict[Any, Any]]
) -> None:
    loads_rightly_or_says_why(*drawn, tmp_path_factory.mktemp("fuzz"))
