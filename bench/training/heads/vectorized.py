"""Many linear classifiers on the same features and batches, trained as one: the head-only runs of a sweep.

K heads of C classes on D features are one matrix of K*C columns. A step is two matrix products, a softmax and one fused
step of the optimiser, whatever K is; the gradients are written down instead of recorded:

    logits = [z, 1] W,   W [D+1, C*K], the last row the biases
    dW = [z, 1]^T diag(w / sum w) (softmax(logits) - target)

Heads differ in their learning rate and weight decay; the optimiser takes one number. So what is stored is U = W / lr: a
step of U by f times the optimiser's direction is a step of W by f * lr times it, exactly, in SGD with momentum as in
Adam, whose directions depend on gradients by W alone.

Columns are ordered by class, then by head: [C, K]. The softmax then runs over the middle of [B, C, K] in vectors of
heads, two to three times as fast as over rows of C numbers. A column that is not finite stays so alone, since no
operation mixes columns of different heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.epoch_order import EpochOrder
from bench.training.heads.scoring import HeadScores, cross_entropy, highest, of_class, right, shares
from bench.training.heads.update_rules import UpdateRule

CHUNK = 1 << 20
"""Numbers in the features, and in the logits, that are held at once: a few MB each, whatever N and K are."""


@dataclass(frozen=True)
class Heads:
    """weight: [K, C, D]. bias: [K, C]."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layers: Sequence[nn.Linear]) -> Self:
        """Copies of K linear layers with biases."""
        weight = torch.stack([layer.weight.detach() for layer in layers])
        return cls(weight, torch.stack([layer.bias.detach() for layer in layers]))

    @torch.no_grad()
    def write(self, head: int, layer: nn.Linear) -> None:
        """Put one of them into a layer."""
        layer.weight.copy_(self.weight[head])
        layer.bias.copy_(self.bias[head])


class HeadTrainer:
    """Trains K heads in place. Everything is computed in float32 on the device of the heads."""

    def __init__(
        self,
        heads: Heads,
        rule: UpdateRule,
        lr: Sequence[float],
        weight_decay: Sequence[float],
        smoothing: Sequence[float] | None = None,
        clip_grad: float | None = None,
    ) -> None:
        """lr, weight_decay, smoothing (of labels): a number for each head. Biases are not decayed.

        clip_grad: the largest norm of each head's own gradient.

        Raises `ValueError` for another number of them, and for learning rates that are not positive and finite.
        """
        k, self.classes, self.features = heads.weight.shape
        if {len(lr), len(weight_decay), len(smoothing or lr)} != {k}:
            raise ValueError(f"{k} heads need as many learning rates, weight decays and smoothings")
        if not all(0 < value < float("inf") for value in lr):
            raise ValueError(f"learning rates are {list(lr)}, but must be positive and finite")
        tensor = partial(torch.tensor, device=heads.weight.device, dtype=torch.float32)
        self.rule, self.clip_grad = rule, clip_grad
        self._lr, self._decay = tensor(lr), tensor(weight_decay)
        self._smoothing = tensor(smoothing) if smoothing and any(smoothing) else None
        rows = torch.cat([heads.weight.float(), heads.bias.float()[:, :, None]], dim=2)  # [K, C, D+1]
        self._u = (rows.permute(2, 1, 0) / self._lr).contiguous()  # [D+1, C, K]
        self._state = rule.state(self._u)
        self._restructured()

    def __len__(self) -> int:
        """K."""
        return len(self._lr)

    @property
    def heads(self) -> Heads:
        """As they are now, copied."""
        rows = (self._u * self._lr).permute(2, 1, 0)
        return Heads(rows[:, :, :-1].contiguous(), rows[:, :, -1].contiguous())

    def keep(self, heads: Sequence[int]) -> None:
        """Go on with these alone, in this order; the others cost nothing any more."""
        index = torch.tensor(heads, dtype=torch.int64, device=self._lr.device)
        self._u = self._u.index_select(2, index)
        self._state.map(lambda moment: moment.index_select(2, index))
        self._lr, self._decay = self._lr[index], self._decay[index]
        self._smoothing = None if self._smoothing is None else self._smoothing[index]
        self._restructured()

    def _restructured(self) -> None:
        """What follows from the heads that there are: numbers by column [C*K], and room for gradients."""
        self._du = torch.empty_like(self._u)
        self._flat, self._gradient = (v.view(self.features + 1, -1) for v in (self._u, self._du))
        self._weights = self._flat[:-1], self._gradient[:-1]
        self._lr_row = self._lr.repeat(self.classes)
        self._decay_row = (self._lr * self._decay).repeat(self.classes)
        self._decays = bool(self._decay.any())

    @torch.inference_mode()
    def epoch(self, z: Tensor, order: EpochOrder, batch_size: int, factors: Sequence[float]) -> HeadScores:
        """One pass. z: [rows, D] features in any float format. factors: one for each step, on all learning rates.

        An order smaller than a batch is one batch. Scores are of each batch before its step, as a loop logs them.
        Raises `ValueError` for an order that is not as many whole batches as there are factors.
        """
        size = min(batch_size, len(order))
        if size * len(factors) != len(order):
            raise ValueError(f"{len(order)} images are not {len(factors)} batches of {size}")
        loss, hits = self._lr.new_zeros(2, len(self))
        held = self._steps_at_once(size) * size
        for start in range(0, len(order), held):
            part = order.part(start, start + held)
            found = self._steps(z, part, size, factors[start // size : (start + len(part)) // size])
            loss, hits = loss + found[0], hits + found[1]
        return HeadScores(loss / len(factors), hits / len(order))

    def _steps_at_once(self, size: int) -> int:
        numbers = size * max(self.features + 1, len(self) * self.classes)
        return max(1, CHUNK // numbers)

    def _steps(
        self, z: Tensor, order: EpochOrder, size: int, factors: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Some steps, and the sums over them: of losses [K] and of right answers [K].

        What steps need is gathered for all of them, and what they leave is judged for all of them: many small
        operations become few large ones.
        """
        x = self._gather(z, order.rows)
        share = shares(order.weight, size)
        weighted = x if share is None else x * share[:, None]
        scale = 1 / size if share is None else 1.0
        target = F.one_hot(order.y, self.classes).float() if order.target is None else order.target.float()
        logits, p = x.new_empty(2, len(x), self.classes, len(self))
        residual = torch.empty_like(p[:size])
        flat = residual.view(size, -1)
        batches = [_batches(v, size) for v in (x, weighted, target[:, :, None], logits, p)]
        for x_b, weighted_b, target_b, logits_b, p_b, factor in zip(*batches, factors, strict=True):
            self._softmax(x_b, logits_b, p_b)
            self._residual(p_b, target_b, out=residual)
            torch.addmm(self._gradient, weighted_b.t(), flat, beta=0, alpha=scale, out=self._gradient)
            self._descend(factor)
        top = highest(logits)
        ce = cross_entropy(logits, top, highest(p), order, self._smoothing)
        loss = ce.sum(dim=0) / size if share is None else share @ ce
        return loss, right(logits, top, order.y).sum(dim=0)

    def _gather(self, z: Tensor, rows: Tensor) -> Tensor:
        """[n, D+1] float32: the features of these rows, and a one for the bias."""
        x = torch.empty(len(rows), self.features + 1, device=self._lr.device)
        x[:, -1] = 1
        if (z.dtype, z.device) == (x.dtype, x.device):
            torch.index_select(z, 0, rows, out=x[:, :-1])
        else:
            x[:, :-1] = z.index_select(0, rows.to(z.device))
        return x

    def _softmax(self, x: Tensor, logits: Tensor, p: Tensor) -> None:
        """x [B, D+1] -> into logits and p [B, C, K]."""
        flat = logits.view(x.shape[0], -1)
        torch.mm(x, self._flat, out=flat)
        flat.mul_(self._lr_row)
        torch.softmax(logits, dim=1, out=p)

    def _residual(self, p: Tensor, target: Tensor, out: Tensor) -> None:
        """p - target [B, C, K], where target [B, C, 1] is smoothed by each head: (1 - eps) target + eps / C."""
        if self._smoothing is None:
            torch.sub(p, target, out=out)
        else:
            torch.addcmul(p, target, self._smoothing - 1, out=out)
            out.sub_(self._smoothing / self.classes)

    def _descend(self, factor: float) -> None:
        """One step down the gradient that is there."""
        weights, gradient = self._weights
        if self.clip_grad is not None:
            self._clip(self.clip_grad)
        if self._decays and self.rule.decay == "coupled":
            gradient.addcmul_(weights, self._decay_row)
        elif self._decays:
            weights.mul_(1 - factor * self._decay_row)
        self._state.step(self._u, self._du, factor)

    def _clip(self, most: float) -> None:
        """Each head's gradient scaled down to this norm, as torch's `clip_grad_norm_` does it of one."""
        norm = torch.linalg.vector_norm(self._du, dim=(0, 1))  # [K]
        self._du.mul_((most / (norm + 1e-6)).clamp(max=1.0))

    def logits(self, z: Tensor) -> Tensor:
        """z [N, D] -> [K, N, C] float32."""
        parts = [logits.permute(2, 0, 1) for logits in self._predictions(z)]
        return torch.cat(parts, dim=1)

    def evaluate(self, z: Tensor, y: Tensor) -> HeadScores:
        """Accuracy and mean negative log-likelihood on features z [N, D] with labels y [N], in chunks.

        One output that is not finite makes the likelihood NaN, even where no image is of its class.
        """
        loss, hits = self._lr.new_zeros(2, len(self))
        start = 0
        for logits in self._predictions(z):
            part = y[start : (start := start + len(logits))]
            loss = loss - of_class(logits.log_softmax(dim=1), part).sum(dim=0)
            loss = loss.where(logits.isfinite().all(dim=0).all(dim=0), torch.nan)
            hits = hits + right(logits, highest(logits), part).sum(dim=0)
        return HeadScores(loss / len(y), hits / len(y))

    @torch.no_grad()
    def _predictions(self, z: Tensor) -> Iterator[Tensor]:
        """Logits [n, C, K], chunk by chunk."""
        w = (self._u * self._lr).view(len(self._u), -1)
        for part in z.split(self._steps_at_once(1)):
            yield torch.addmm(w[-1], part.to(w), w[:-1]).view(len(part), self.classes, len(self))


def _batches(values: Tensor, size: int) -> tuple[Tensor, ...]:
    """[steps * size, ...] -> a view [size, ...] for each step."""
    return values.view(-1, size, *values.shape[1:]).unbind()
