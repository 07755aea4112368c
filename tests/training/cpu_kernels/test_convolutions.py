"""Weight gradients on small maps: torch's own numbers, in the layout of their weight, and only where they are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.training.cpu_kernels import convolutions, whole_maps
from bench.training.cpu_kernels.convolutions import small_maps, taken
from tests.support.strategy_samples import TRAIN, composed, make_model, make_task, make_trainer

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
SHAPES = [  # in, out, groups, kernel, stride, padding, map
    (16, 24, 1, 3, 1, 1, (4, 4)),
    (16, 24, 1, 3, 2, 1, (7, 5)),
    (16, 24, 1, 3, 2, 1, (8, 8)),
    (16, 24, 1, 3, 1, 0, (6, 3)),
    (16, 24, 1, 3, 1, 2, (1, 1)),
    (16, 24, 1, 5, 2, 2, (2, 2)),
    (16, 24, 1, 5, 1, 2, (1, 3)),
    (16, 24, 1, 3, 1, 1, (1, 1)),
    (16, 24, 1, 3, 1, 1, (2, 2)),
    (16, 24, 1, (5, 3), 1, (2, 1), (3, 2)),
    (16, 24, 1, (1, 3), (1, 2), (0, 1), (3, 5)),
    (16, 24, 1, 2, 2, 0, (7, 7)),
    (1, 8, 1, 3, 1, 1, (3, 3)),
    (16, 1, 1, 3, 3, 2, (5, 4)),
    (16, 16, 16, 3, 1, 1, (4, 4)),
    (16, 16, 16, 3, 2, 1, (7, 5)),
    (16, 16, 16, 5, 1, 2, (2, 2)),
    (16, 16, 16, 5, 2, 2, (1, 1)),
    (16, 16, 16, 5, 2, 0, (9, 6)),
    (16, 16, 16, (7, 3), (2, 1), (2, 1), (5, 4)),
]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shape: that it would not pay says nothing about its numbers."""
    monkeypatch.setattr(convolutions, "pays", lambda *shape: True)


def gradients(conv: nn.Conv2d, x: Tensor, upstream: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    conv.zero_grad()
    conv(x).backward(upstream)
    return [
        g
        for g in (conv.weight.grad, x.grad, conv.bias.grad if conv.bias is not None else None)
        if g is not None
    ]


def layout(x: Tensor) -> list[int]:
    """Strides of what has more than one element; of others they say nothing."""
    return [stride for stride, n in zip(x.stride(), x.shape, strict=True) if n > 1]


def ours(run: Callable[[], object]) -> list[bool]:
    """Which of the convolutions that are run are ours."""
    seen: list[bool] = []
    former = convolutions.taken

    def noted(*args: object) -> bool:
        seen.append(former(*args))  # type: ignore[arg-type]
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch, small_maps():
        patch.setattr(convolutions, "taken", noted)
        run()
    return seen


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("weights", LAYOUTS)
@pytest.mark.parametrize("inputs", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_torchs_in_the_layout_of_their_weight(shape: tuple, inputs: str, weights: str) -> None:
    into, out, groups, kernel, stride, padding, size = shape
    torch.manual_seed(0)
    conv = nn.Conv2d(into, out, kernel, stride, padding, groups=groups).to(memory_format=LAYOUTS[weights])
    x = torch.randn(6, into, *size).to(memory_format=LAYOUTS[inputs])
    upstream = torch.randn_like(conv(x))
    expected = gradients(conv, x, upstream)
    assert ours(lambda: conv(x)) == [True]
    with small_maps():
        found = gradients(conv, x, upstream)
        again = gradients(conv, x, upstream)
        (handed,) = torch.autograd.grad(conv(x), conv.weight, upstream)
    for f, e, a in zip(found, expected, again, strict=True):
        assert (f - e).abs().max() <= 1e-5 * e.abs().max()
        assert torch.equal(f, a)
    assert found[0].stride() == handed.stride() == conv.weight.stride()
    assert layout(found[1]) == layout(expected[1])


@pytest.mark.usefixtures("always")
def test_a_kernel_that_reaches_the_whole_map_is_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix's rows are outputs, its columns inputs: torch's convolution of each input alone."""
    torch.manual_seed(0)
    made: list[Tensor] = []
    former = whole_maps.matrix_of

    def noted(weight: Tensor, size: tuple[int, int]) -> Tensor:
        made.append(former(weight, size))
        return made[-1]

    monkeypatch.setattr(whole_maps, "matrix_of", noted)
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    each = (
        torch.eye(12).view(12, 2, 2, 3).permute(0, 3, 1, 2)
    )  # one input of 2x2 pixels, channels last, at a time
    with small_maps():
        conv(each)
        for size in ((3, 2), (2, 3), (4, 4)):
            conv(torch.randn(2, 3, *size).to(memory_format=torch.channels_last))
        conv(torch.randn(2, 3, 2, 2))  # its pixels would have to be copied
        nn.Conv2d(3, 5, 3, padding=1, stride=2)(each)
        nn.Conv2d(3, 5, 3, padding=2)(each)
        nn.Conv2d(3, 3, 3, padding=1, groups=3)(each)
    (matrix,) = made
    torch.testing.assert_close(matrix.T, conv(each).permute(0, 2, 3, 1).reshape(12, 20))


@pytest.mark.usefixtures("always")
def test_an_upstream_gradient_of_any_layout_will_do() -> None:
    torch.manual_seed(0)
    for conv in (nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)):
        x = torch.randn(4, 8, 4, 4)
        for upstream in (torch.ones(()).expand(4, 8, 4, 4), torch.randn(4, 4, 8, 4).transpose(1, 2)):
            expected = gradients(conv, x, upstream)
            with small_maps():
                torch.testing.assert_close(gradients(conv, x, upstream), expected)


@pytest.mark.usefixtures("always")
def test_a_fused_step_moves_the_right_weights() -> None:
    """It reads raw memory: see `docs/findings.md`."""

    def stepped(fused: bool) -> Tensor:
        torch.manual_seed(0)
        conv = nn.Conv2d(4, 6, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(conv.parameters(), lr=1.0, momentum=0.9, fused=fused)
        with small_maps():
            conv(torch.randn(4, 4, 2, 2)).square().sum().backward()
        optimizer.step()
        return conv.weight.detach()

    torch.testing.assert_close(stepped(True), stepped(False))


@pytest.mark.usefixtures("always")
def test_only_plain_convolutions_that_learn_are_ours() -> None:
    x = torch.randn(4, 8, 4, 4)
    frozen = nn.Conv2d(8, 8, 3).requires_grad_(False)
    others = {
        "1x1": nn.Conv2d(8, 8, 1),
        "grouped": nn.Conv2d(8, 8, 3, groups=2),
        "multiplied": nn.Conv2d(8, 16, 3, groups=8),
        "dilated": nn.Conv2d(8, 8, 2, dilation=2),
        "same": nn.Conv2d(8, 8, 3, padding="same"),
        "reflected": nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
        "frozen": frozen,
    }
    with small_maps():
        assert {name: taken(conv, x, conv.weight) for name, conv in others.items()} == dict.fromkeys(
            others, False
        )
        for conv in others.values():
            conv(x)
        conv = nn.Conv2d(8, 8, 3)
        assert taken(conv, x, conv.weight) and not taken(conv, x[0], conv.weight)
        assert not taken(conv, x[:0], conv.weight) and conv(x[:0]).shape == (0, 8, 2, 2)
        assert conv(x[0]).shape == (8, 2, 2)
        assert not taken(conv, x.double(), conv.weight) and conv.double()(x.double()).dtype == torch.float64
        conv.float()
        with torch.no_grad():
            assert not taken(conv, x, conv.weight)
        with torch.autocast("cpu", dtype=torch.float16):
            assert not taken(conv, x, conv.weight)
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size can't be greater"):
            conv(x[:, :, :2])


@pytest.mark.usefixtures("always")
def test_a_second_derivative_is_refused_in_words() -> None:
    conv, x = nn.Conv2d(8, 8, 3), torch.randn(4, 8, 4, 4)
    with small_maps():
        (g,) = torch.autograd.grad(conv(x).square().sum(), conv.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.square().sum().backward()


@pytest.mark.usefixtures("always")
def test_a_weight_changed_before_its_gradient_is_noticed() -> None:
    conv, x = nn.Conv2d(8, 8, 3), torch.randn(4, 8, 4, 4)
    with small_maps():
        out = conv(x).sum()
    with torch.no_grad():
        conv.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_what_was_there_comes_back() -> None:
    former = nn.Conv2d._conv_forward
    with small_maps():
        inside = nn.Conv2d._conv_forward
        with pytest.raises(ZeroDivisionError), small_maps():
            raise ZeroDivisionError
        assert nn.Conv2d._conv_forward is inside is not former
    assert nn.Conv2d._conv_forward is former
    with pytest.raises(ZeroDivisionError), small_maps():
        raise ZeroDivisionError
    assert nn.Conv2d._conv_forward is former


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_in_bf16_are_as_near_to_fp32_as_torchs(shape: tuple) -> None:
    into, out, groups, kernel, stride, padding, size = shape
    torch.manual_seed(0)
    conv = nn.Conv2d(into, out, kernel, stride, padding, groups=groups).to(memory_format=torch.channels_last)
    x = torch.randn(6, into, *size).to(memory_format=torch.channels_last)
    upstream = torch.randn_like(conv(x))
    exact = gradients(conv, x, upstream)

    def error() -> list[float]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert conv(x).dtype == torch.bfloat16
            found = gradients(conv, x, upstream.bfloat16())
        assert all(f.dtype == torch.float32 for f in found) and found[0].stride() == conv.weight.stride()
        return [((f - e).norm() / e.norm()).item() for f, e in zip(found, exact, strict=True)]

    torchs = error()
    with small_maps():
        assert all(mine <= 1.2 * theirs + 1e-3 for mine, theirs in zip(error(), torchs, strict=True))


@pytest.mark.parametrize("processor", ["AVX2", "AVX512", "bf16"])
def test_the_rule_is_one_of_shapes(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)

    def ours_at(size: int, batch: int = 32, **conv: int) -> bool:
        layer = nn.Conv2d(**{"in_channels": 256, "out_channels": 256, "kernel_size": 3, "padding": 1, **conv})  # type: ignore[arg-type]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=processor == "bf16"):
            return taken(layer, torch.empty(batch, layer.in_channels, size, size), layer.weight)

    assert ours_at(1) and ours_at(4, stride=2) and not ours_at(16) and not ours_at(2, in_channels=16)
    assert ours_at(4) == ours_at(8, stride=2) == (processor != "AVX512")
    assert ours_at(8) == ours_at(4, in_channels=128) == (processor == "bf16")
    assert ours_at(2, out_channels=128)
    assert ours_at(2, groups=256) and not ours_at(4, groups=256) and not ours_at(2, 2, groups=256)
    assert ours_at(4, groups=256, kernel_size=5, padding=2)
    assert ours_at(8, groups=256, kernel_size=5, padding=2) == (processor == "bf16")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet"])
def test_training_comes_to_the_same(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop uses it. In plain SGD, as AdamW makes steps of one size out of rounding where a gradient is zero."""

    def trained() -> tuple[list[Tensor], float, int]:
        count = 0
        former = convolutions.by_taps

        def counted(*args: object) -> Tensor:
            nonlocal count
            count += 1
            return former(*args)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolutions, "by_taps", counted)
            torch.manual_seed(0)
            model = make_model(network)
            trainer, log = make_trainer(model, make_task(), replace(TRAIN, optimizer="sgd"))
            trainer.run(composed("full", full={"lr": 0.01}))
        return [p.detach() for p in model.net.parameters()], log[-1]["train/loss"], count

    weights, loss, count = trained()
    again, same_loss, _ = trained()
    assert count and loss == same_loss and all(map(torch.equal, weights, again))
    monkeypatch.setattr(convolutions, "pays", lambda *shape: False)
    plain, plain_loss, none = trained()
    assert not none and loss == pytest.approx(plain_loss, rel=1e-4)
    for found, expected in zip(weights, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
