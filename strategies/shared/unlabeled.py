"""Learning from images without labels, which stand beside the labelled ones of a batch."""

from bench.methods.api import Batch, Phase, Tensor, UserError, replace, torch


def with_unlabeled(phase: Phase, method: str, count: int) -> Phase:
    """The phase with `count` unlabelled images for each labelled one. Raises `UserError` for none."""
    if count < 1:
        raise UserError(f"{method}: unlabeled is {count}, but must be at least 1 image per labelled one")
    return replace(phase, unlabeled=max(phase.unlabeled, count))


def views(batch: Batch) -> tuple[Tensor, Tensor]:
    """The weak and the strong views [U, 3, H, W] in a batch of such a phase."""
    assert batch.weak is not None and batch.strong is not None
    return batch.weak, batch.strong


def confident_cross_entropy(guess: Tensor, logits: Tensor, threshold: float) -> Tensor:
    """Mean over all [U] images of 1[max p >= threshold] CE(logits, argmax p), p = softmax(guess) without gradient.

    Over all, not over the confident ones alone: while few are confident, they count little.
    """
    confidence, label = guess.detach().float().softmax(dim=-1).max(dim=-1)
    ce = torch.nn.functional.cross_entropy(logits.float(), label, reduction="none")
    return ((confidence >= threshold) * ce).mean()
