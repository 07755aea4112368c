"""Attention in bf16 on a CPU: torch's own numbers, and only where it is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.training.cpu_kernels import attention
from bench.training.cpu_kernels.attention import TOKENS, short_sequences, taken
from tests.support.strategy_samples import TRAIN, composed, make_model, make_task, make_trainer


def inputs(queries: int = 7, keys: int = 7, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, queries, 16), (2, 3, keys, 16), (2, 3, keys, 16)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def gradients(of: list[Tensor], scale: float | None = None, **others: object) -> list[Tensor]:
    """-> the output in fp32, and the three gradients."""
    copies = [x.detach().clone().requires_grad_() for x in of]
    found = F.scaled_dot_product_attention(*copies, scale=scale, **others)  # type: ignore[arg-type]
    return [
        found.detach().float(),
        *(g.float() for g in torch.autograd.grad(found.float().square().sum(), copies)),
    ]


def error(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    return [((f - e).norm() / e.norm()).item() for f, e in zip(found, exact, strict=True)]


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize("tokens", [(1, 2), (7, 7), (17, 17), (1, 40), (65, 9)], ids=str)
def test_it_is_as_near_to_fp32_as_torchs_own_in_bf16(tokens: tuple[int, int], scale: float | None) -> None:
    of = inputs(*tokens)
    exact = gradients([x.float() for x in of], scale)
    torchs = error(gradients(of, scale), exact)
    with short_sequences():
        assert taken(*of)
        ours = error(gradients(of, scale), exact)
    assert all(mine <= 2 * theirs + 0.01 for mine, theirs in zip(ours, torchs, strict=True)), (ours, torchs)


def test_by_its_formula_in_fp64() -> None:
    q, k, v = (x.detach().double() for x in inputs())
    expected = torch.softmax(torch.einsum("bhqd,bhkd->bhqk", q, k) / 4, -1)
    torch.testing.assert_close(attention.attention(q, k, v), torch.einsum("bhqk,bhkd->bhqd", expected, v))


def test_whatever_else_attention_may_be_asked_stays_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "attention", None)  # a call would fail
    of = inputs()
    with short_sequences():
        gradients(of, attn_mask=torch.zeros(7, 7, dtype=torch.bfloat16))
        gradients(of, is_causal=True)
        gradients(of, dropout_p=0.5)
        gradients(of, enable_gqa=True)
        gradients(inputs(dtype=torch.float32))
        gradients(inputs(TOKENS + 1, 2))
        with torch.no_grad():
            F.scaled_dot_product_attention(*of)
        with pytest.raises(TypeError):
            gradients(of)


def test_autocast_decides_the_format() -> None:
    of = inputs(dtype=torch.float32)
    with short_sequences(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert taken(*of) and F.scaled_dot_product_attention(*of).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.float16):
        assert not taken(*of)


def test_the_loop_uses_it_and_torchs_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    former, calls = F.scaled_dot_product_attention, 0

    def counted(q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        nonlocal calls
        calls += 1
        return original(q, k, v, scale)

    original = attention.attention
    monkeypatch.setattr(attention, "attention", counted)

    def trained(precision: str) -> float:
        trainer, log = make_trainer(
            make_model("test_vit"), make_task(), replace(TRAIN, optimizer="sgd", precision=precision)
        )
        trainer.run(composed("full", full={"lr": 0.01}))
        assert F.scaled_dot_product_attention is former
        return log[-1]["train/loss"]

    exact = trained("fp32")
    assert not calls
    rounded = trained("bf16")
    assert calls and rounded == pytest.approx(exact, rel=0.02)
