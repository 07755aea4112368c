"""Auto-RGN (Lee et al., 2023): each epoch, each stage at a rate in proportion to its relative gradient norm.

    lr_i = lr * r_i / max_j r_j,   r_i = ||g_i|| / ||theta_i||

over five batches before the epoch, in eval mode. The head counts as one more stage. Unlike the authors' code, a rate is
that of a stage and not of each tensor; g is the sum over the batches, where they average the ratios of each; biases are
left out of the norms with the normalisation parameters, and both train, at the rate of their stage, where BatchNorm's
are frozen there; the optimiser's state is carried from epoch to epoch.
"""

from functools import partial

from bench.methods.api import (
    Group,
    Model,
    Phase,
    Phases,
    Strategy,
    Task,
    epoch_spans,
    hyperparameter,
    replace,
)
from strategies.shared.gradients import relative_gradient_norms


class AutoRGN(Strategy):
    """Rates per stage by relative gradient norm, measured anew every epoch."""

    source = "Lee et al. 2023, arXiv:2210.11466"
    when = (
        "The paper: distribution shifts of unknown kind; chooses by itself what surgical fine-tuning is told."
    )
    against = "Gradient norms of a few batches are noisy, and a random head dominates them at first."
    excludes = {
        name: "it sets the rate of every group itself"
        for name in ("head_x10", "discriminative", "llrd", "tenth")
    }

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        for epoch, span in enumerate(epoch_spans(task.epochs)):
            phase = Phase(f"epoch {epoch + 1}", 1, model.groups(self.lr), span=span)
            ratios = relative_gradient_norms(model, phase, task.batches(model, limit=5, seed=epoch))
            top = max(ratios.values()) or 1.0
            rates = {name: self.lr * ratio / top for name, ratio in ratios.items()}
            yield phase.map_groups(partial(at_own_rate, rates))


def at_own_rate(rates: dict[str, float], group: Group) -> Group:
    return replace(group, lr=rates[group.name])
