"""Parts of torch and timm that are not documented: each is where it was, and does what is relied on."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from bench.core import compat
from bench.core.compat import VersionRange
from bench.core.compat import timm as timm_parts
from bench.core.compat import torch as torch_parts
from bench.planning import cpu_kernels
from bench.tracking import compat as mlflow_parts
from bench.tuning import compat as optuna_parts
from tests.conftest import ROOT

RANGES = [torch_parts.TESTED, timm_parts.TESTED, mlflow_parts.TESTED, optuna_parts.TESTED]

HEAVY = {"torch", "timm", "torchvision", "nn", "F"}
"""Names that these libraries go by in our files."""


def test_torchs_convolution_calls_what_the_cpu_kernels_replace() -> None:
    owner, name = torch_parts.CONVOLUTION
    moved = f"torch {torch.__version__}: nn.Conv2d no longer computes in `{name}(input, weight, bias)`"
    found = getattr(owner, name, None)
    assert found, moved
    assert list(inspect.signature(found).parameters) == ["self", "input", "weight", "bias"], moved
    assert name in inspect.getsource(nn.Conv2d.forward), moved


def test_torch_counts_writes_to_a_tensor() -> None:
    tensor = torch.zeros(2)
    before = torch_parts.tensor_version(tensor)
    tensor.add_(1)
    assert torch_parts.tensor_version(tensor) > before, (
        "torch: `Tensor._version` no longer counts writes in place"
    )


def test_torch_has_one_class_above_every_batch_norm() -> None:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LazyBatchNorm2d)
    base = torch_parts.AnyBatchNorm
    assert all(issubclass(kind, base) for kind in kinds), "torch: `_BatchNorm` is no base of all of them now"
    assert not issubclass(nn.InstanceNorm2d, base), "torch: `_BatchNorm` is above other layers too now"


def test_torchs_load_state_dict_returns_what_stands_in_for_it() -> None:
    found = nn.Linear(1, 1).load_state_dict(nn.Linear(1, 1).state_dict())
    assert type(found) is torch_parts.IncompatibleKeys, "torch: `load_state_dict` returns another type now"


def test_torchs_uint8_resize_is_the_one_that_interpolate_calls() -> None:
    image = torch.randint(256, (1, 3, 40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = nn.functional.interpolate(image, (17, 17), mode="bilinear", antialias=True)
    found = torch_parts.resize_uint8(image, 17)
    assert torch.equal(found, expected), (
        "torch: `aten._upsample_bilinear2d_aa` is not what F.interpolate computes now"
    )


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_torchs_functional_optimisers_take_what_they_are_given(name: str) -> None:
    """That their steps are those of the classes is held by tests/training/heads/test_vectorized.py."""
    wanted = {
        "sgd": {"fused", "foreach", "weight_decay", "lr", "dampening", "maximize", "momentum", "nesterov"}
    }
    wanted["adam"] = {
        "fused",
        "foreach",
        "amsgrad",
        "beta1",
        "beta2",
        "eps",
        "lr",
        "weight_decay",
        "maximize",
    }
    lacking = wanted[name] - inspect.signature(getattr(torch_parts, name)).parameters.keys()
    assert not lacking, f"torch.optim.{name}.{name} no longer takes {lacking}"


def test_timm_groups_buffers_too() -> None:
    net = timm.create_model("test_resnet")
    tensors = [*net.named_parameters(), *net.named_buffers()]
    groups = timm_parts.group_with_matcher(iter(tensors), net.group_matcher(coarse=True))
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(name for name, _ in tensors), (
        "timm: `group_with_matcher` leaves out tensors now"
    )


def test_timm_lists_torchvisions_datasets() -> None:
    known = timm_parts.torch_datasets()
    assert {"cifar10", "cifar100"} <= known, (
        "timm: `dataset_factory._TORCH_BASIC_DS` is gone or has other names"
    )


@pytest.mark.parametrize("tested", [*RANGES, cpu_kernels.TESTED], ids=str)
def test_what_is_installed_here_is_within_the_tested_range(tested: VersionRange) -> None:
    """Where a newer version is installed: run all tests, `make benchmark` for the kernels, and raise `last`."""
    assert tested.covers(), f"{compat.installed_version(tested.library)} is installed; tested: {tested}"


@pytest.mark.parametrize(
    ("installed", "covered"),
    [
        ("2.10.1", False),
        ("2.11.0", True),
        ("2.12.0a0+git1", True),
        ("2.13.9+cu130", True),
        ("2.14.0", False),
        ("3.0", False),
    ],
)
def test_a_range_covers_its_ends(installed: str, covered: bool) -> None:
    assert VersionRange("torch", "2.11", "2.13").covers(installed) is covered


def test_pyproject_names_what_was_tested() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    text = (ROOT / "pyproject.toml").read_text()
    for tested in RANGES:
        line = next(line for line in text.splitlines() if line.strip().startswith(f'"{tested.library}>='))
        assert f"tested with {tested.last}" in line, (
            f"{line.strip()}: want a comment 'tested with {tested.last}'"
        )
        assert any(d.startswith(f"{tested.library}>=") for d in dependencies)


def dotted(node: ast.expr) -> list[str]:
    """["torch", "ops", "aten"] of torch.ops.aten; begins with "" where it hangs on something else than a name."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def private_parts(path: Path) -> list[str]:
    """Names beginning with one underscore that a file takes from these libraries."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in HEAVY:
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = dotted(node)
            names = names if names[0] in HEAVY else []
            names += ["_version"] if node.attr == "_version" else []
        else:
            continue
        found += [f"{path.relative_to(ROOT)}:{node.lineno}: {n}" for n in names if re.match(r"_[a-zA-Z]", n)]
    return found


def test_private_parts_are_used_in_the_compat_modules_only() -> None:
    files = [p for folder in ("bench", "strategies", "reports") for p in (ROOT / folder).rglob("*.py")]
    inside = [p for p in files if p.parent.name == "compat"]
    assert len(private_parts(next(p for p in inside if p.name == "torch.py"))) >= 3, "this test sees nothing"
    assert not [line for p in files if p not in inside for line in private_parts(p)]
