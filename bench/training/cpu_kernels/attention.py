"""Attention over short sequences in bf16 on a CPU, as products and a softmax: torch's flash kernel is slow there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.training.cpu_kernels.replaced import Function, Replaced

TOKENS = 256
"""At most. The weights [images, heads, tokens, tokens] are kept for the backward pass, which flash attention avoids;
at 256 tokens they are a fifth of what a ViT keeps."""


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """softmax(q kᵀ scale) v, of [..., tokens, width] each; the softmax sums in fp32, as torch's does.

    Forward and backward, torch's flash kernel's processor time over this one's (one core with AVX-512 and bf16, torch 2.13),
    by tokens, images x heads x 64 wide:

        192 x 5   192 x 17   192 x 65   96 x 257   24 x 577   12 x 2048
        2.2        7.4        6.1        2.9        2.7        1.2

    In fp32 torch's is the faster one (by 1.0 to 2.7).
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return ((q * scale) @ k.transpose(-2, -1)).softmax(-1) @ v


def taken(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether attention of these gets computed here: on a CPU in bf16, for a backward pass, of few tokens."""
    learns = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if not (learns and q.is_cpu and q.dim() == k.dim() == v.dim() == 4):
        return False
    cast = torch.is_autocast_enabled("cpu")
    computed_in = {torch.get_autocast_dtype("cpu")} if cast else {q.dtype, k.dtype, v.dtype}
    return computed_in == {torch.bfloat16} and max(q.shape[-2], k.shape[-2]) <= TOKENS


def _instead(former: Function) -> Function:
    def scaled_dot_product_attention(  # torch's own names and defaults
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
        if plain and taken(query, key, value):
            with torch.autocast("cpu", enabled=False):  # which would compute the softmax in fp32
                q, k, v = (x.to(torch.bfloat16) for x in (query, key, value))
                found: Tensor = attention(q, k, v, scale)
        else:
            found = former(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        return found

    return scaled_dot_product_attention


short_sequences = Replaced(F, "scaled_dot_product_attention", _instead)
"""While active, attention that `taken` accepts is computed here."""
