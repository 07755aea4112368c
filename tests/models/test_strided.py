"""Strided 1x1 convolutions of few channels train to the right gradients, in either layout, and leave the process alive."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from bench.core.spec import BackboneSpec
from bench.models import strided
from bench.models.build import build
from bench.models.strided import BLOCK, without_strides
from tests.support.commands import environment

TRAINED = """
import sys, torch
from bench.models.build import build
from bench.core.spec import BackboneSpec
for name in sys.argv[1:]:
    model = build(BackboneSpec(name, "random"), 4, 64).to(memory_format=torch.channels_last).train()
    for seed in range(6):
        x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        model(x.to(memory_format=torch.channels_last)).square().mean().backward()
    print(name, "lives", flush=True)
"""


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer(x).square().sum().backward()
    found = [x.grad, *(p.grad for p in layer.parameters())]
    return [g for g in found if g is not None]


@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
@pytest.mark.parametrize("side", [7, 8])
def test_it_is_the_same_convolution(stride: int | tuple[int, int], side: int) -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 24, 1, stride))
    mended = copy.deepcopy(layer)
    without_strides(mended)
    mended = copy.deepcopy(mended).to(memory_format=torch.channels_last)  # what mends it is copied with it
    assert mended.state_dict().keys() == layer.state_dict().keys()
    x = torch.rand(4, 3, side, side)
    assert torch.allclose(mended(x), layer(x), atol=1e-6)
    there = gradients(mended, x.to(memory_format=torch.channels_last))
    for ours, torchs in zip(there, gradients(layer, x), strict=True):
        assert torch.allclose(ours, torchs, atol=1e-4)


def test_nothing_else_is_touched() -> None:
    others = nn.Sequential(
        nn.Conv2d(BLOCK, 8, 1, 2),
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 1, 2, groups=8),
    )
    before = [layer.stride for layer in others]
    without_strides(others)
    assert [layer.stride for layer in others] == before and not any(m._forward_pre_hooks for m in others)


def test_the_mend_ends_with_the_torch_that_has_the_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strided.is_needed("99.0"), "while no torch is known to have it"
    monkeypatch.setattr(strided, "FIXED_IN", "2.15")
    assert strided.is_needed("2.14.1+cpu") and not strided.is_needed("2.15.0a0")
    monkeypatch.setattr(strided, "FIXED_IN", "2.0")
    without_strides(net := nn.Sequential(nn.Conv2d(3, 8, 1, 2)))
    assert net[0].stride == (2, 2)


STRIDED = ("mobileone_s0", "repvgg_a0")


def test_networks_that_have_one_survive_training() -> None:
    """In a process of its own: without the mend it is killed by its damaged heap, on most machines."""
    for name in STRIDED:
        net = build(BackboneSpec(name, "random"), 4, 64).net
        assert any(m._forward_pre_hooks for m in net.modules() if isinstance(m, nn.Conv2d))
    env = environment(OMP_NUM_THREADS="1", MALLOC_CHECK_="3")
    done = subprocess.run([sys.executable, "-c", TRAINED, *STRIDED], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"{n} lives" for n in STRIDED]), done.stderr
