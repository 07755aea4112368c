"""Weight gradients by taps: torch's, to the accuracy of floats, in the layout of the weight, and only where the rule says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.train import convolutions
from bench.train.convolutions import by_taps, small_maps, weight_gradient
from tests.strategies.samples import TRAIN, gentle, make_model, make_task, make_trainer

LAST, PLAIN = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize("layout", [LAST, PLAIN])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [
        ((2, 2), 3, 1, 1),
        ((1, 1), 5, 1, 2),
        ((4, 4), 3, 2, 1),
        ((5, 3), (3, 5), (2, 1), (1, 2)),
        ((4, 5), 3, 1, 0),
        ((3, 3), 2, 2, 0),
        ((2, 3), 7, 1, 3),
        ((6, 6), 3, 3, 2),
    ],
)
def test_gradients_are_torchs(
    side: tuple[int, int],
    kernel: int,
    stride: int,
    padding: int,
    depthwise: bool,
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    channels = 6
    conv = nn.Conv2d(
        channels, channels if depthwise else 4, kernel, stride, padding, groups=channels if depthwise else 1
    ).to(memory_format=layout)
    x = torch.randn(3, channels, *side).to(memory_format=layout).requires_grad_()
    expected = gradients(conv, x, conv(x))
    settings = (conv.stride, conv.padding, conv.groups)
    found = gradients(conv, x, convolutions._Convolution.apply(x, conv.weight, conv.bias, *settings))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert found[1].stride() == conv.weight.stride(), "a fused optimiser would update the wrong elements"


def gradients(conv: nn.Conv2d, x: Tensor, out: Tensor) -> tuple[Tensor, ...]:
    pull = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad(
        (out * pull).sum(), [x, conv.weight, *([conv.bias] if conv.bias is not None else [])]
    )


def taken(conv: nn.Conv2d, x: Tensor) -> bool:
    return by_taps(conv, x, conv.weight)


def test_the_rule_takes_what_it_can_and_what_pays() -> None:
    small = torch.randn(2, 256, 2, 2)
    conv = nn.Conv2d(256, 256, 3, padding=1)
    assert taken(conv, small)
    assert taken(nn.Conv2d(256, 256, 5, padding=2, groups=256), torch.randn(2, 256, 4, 4))
    assert not taken(conv, torch.randn(2, 256, 14, 14)), "too large"
    assert not taken(nn.Conv2d(8, 8, 3, padding=1), torch.randn(2, 8, 2, 2)), "too thin"
    assert not taken(nn.Conv2d(256, 256, 3, padding=1, groups=256), torch.randn(2, 256, 4, 4)), (
        "depthwise 3x3"
    )
    assert not taken(nn.Conv2d(256, 256, 3, padding=1, groups=2), small), "grouped"
    assert not taken(nn.Conv2d(256, 256, 3, padding="same"), small)
    assert not taken(nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"), small)
    assert not taken(nn.Conv2d(256, 256, 3, padding=2, dilation=2), small)
    assert not taken(nn.Conv2d(256, 256, 1), small)
    assert not taken(conv.double(), small.double())
    conv.float()
    with torch.no_grad():
        assert not taken(conv, small)
    with torch.autocast("cpu", torch.bfloat16):
        assert not taken(conv, small)
    conv.weight.requires_grad_(False)
    assert not taken(conv, small)


def test_torch_is_itself_again_afterwards() -> None:
    before = nn.Conv2d._conv_forward
    with pytest.raises(RuntimeError, match="within"), small_maps():
        assert nn.Conv2d._conv_forward is not before
        with small_maps():
            pass
        assert nn.Conv2d._conv_forward is not before
        raise RuntimeError("within")
    assert nn.Conv2d._conv_forward is before


@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_networks_train_alike_with_and_without(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: object) -> Tensor:
        calls.append(args)
        return weight_gradient(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(convolutions, "weight_gradient", counted)
    logs = []
    for rule in (lambda *args: False, lambda *args: True, lambda *args: True):
        monkeypatch.setattr(
            convolutions, "_pays", lambda w, area, groups, c, rule=rule: groups in (1, c) and rule()
        )
        trainer, log = make_trainer(make_model(network), make_task(), replace(TRAIN, optimizer="momentum"))
        trainer.run(gentle("full"))
        logs.append(log)
        assert bool(calls) == (len(logs) > 1)
    for ours, theirs in zip(logs[1], logs[0], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-2, abs=1e-3)
    assert logs[1] == logs[2], "not the same twice"
