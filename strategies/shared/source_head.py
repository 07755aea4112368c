"""The classifier of the pretraining, kept and trained beside the new head (LwF, Co-Tuning)."""

from __future__ import annotations

from collections.abc import Callable

from bench.methods.api import Batch, ImageSet, Model, Phase, Task, Tensor, UserError, nn, torch


def keep_source_head(name: str, model: Model) -> nn.Module:
    """The classifier of the pretraining, [B, D] -> [B, source classes], now an extra module of the model.

    Raises `UserError` where there is none, or where the network, changed by then, gives it no such features.
    """
    head = model.source_head()
    takes = model.features_taken(head)
    if takes != model.feature_dim:
        raise UserError(
            f"{name}: the classifier of the pretraining takes {takes} features, the network gives {model.feature_dim}"
        )
    model.extra["source_head"] = head
    return head


def source_logits(head: nn.Module, images: ImageSet, model: Model, task: Task) -> Tensor:
    """[N, source classes]: what network and `head`, as they are now, say of the images, unaugmented, in eval mode."""
    features, _ = task.features(model, images)
    with torch.no_grad():
        logits: Tensor = head(torch.from_numpy(features).to(next(head.parameters())))
    return logits


def soft_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Mean over the batch of -sum_k target_k log softmax(logits)_k."""
    return -(target * logits.float().log_softmax(dim=-1)).sum(dim=-1).mean()


def train_along(phase: Phase, head: nn.Module, name: str, term: Callable[[Model, Batch], Tensor]) -> Phase:
    """`phase` with `term` in its loss and `head` trained at the backbone's highest rate.

    Preparations and phases that train the new head alone are left as they are: under them the features stay.
    """
    rates = [group.lr for group in phase.train if not group.is_head]
    if phase.preparation or not rates:
        return phase
    return phase.add_group("source_head", list(head.parameters()), max(rates)).add_term(name, term)
