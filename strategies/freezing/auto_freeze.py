"""AutoFreeze (Liu et al., 2021): freeze, for good, the front stages whose gradients have stopped changing.

After each interval, with g_l the gradient accumulated over it by stage l, the change |‖g_l‖_before - ‖g_l‖| / ‖g_l‖_before
is compared: the active stages below the first one whose change reaches their median are frozen. An interval is one
epoch here, so the third is the first that can have less to train. The last stage and the head always train. The norm is
Euclidean; the authors' code sums absolute values. Activations at the border are not cached.
"""

from statistics import median

from bench.methods.api import Model, Phase, Phases, Strategy, Task, Tensor, epoch_spans, hyperparameter, torch


class AutoFreeze(Strategy):
    """Start with everything and freeze a growing prefix as its gradient norms settle."""

    source = "Liu, Agarwal, Venkataraman 2021, arXiv:2102.01386"
    when = (
        "The paper: to save time; the frozen front needs no backward pass, and its activations can be cached."
    )
    against = "Saves time, not errors: accuracy is at best that of full fine-tuning."

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        first, before = 0, None
        for epoch, span in enumerate(epoch_spans(task.epochs)):
            sums = {
                stage.index: [torch.zeros_like(p) for p in model.stage_parameters(stage)]
                for stage in model.stages
            }

            def accumulate(model: Model, sums: dict[int, list[Tensor]] = sums, first: int = first) -> None:
                for stage in model.stages[first:]:
                    for total, p in zip(sums[stage.index], model.stage_parameters(stage), strict=True):
                        total += p.grad if p.grad is not None else 0.0

            phase = Phase(
                f"epoch {epoch + 1}, from {first}", 1, model.groups(self.lr, first=first), span=span
            )
            yield phase.after_backward(accumulate)
            norms = [float(sum(g.square().sum() for g in sums[i]) ** 0.5) for i in range(len(model.stages))]
            first = next_border(before, norms, first)
            before = norms


def next_border(before: list[float] | None, norms: list[float], first: int) -> int:
    """The index of the first stage that stays active. `before`, `norms`: gradient norms of all stages; None at first."""
    if before is None or first == len(norms) - 1:
        return first
    active = range(first, len(norms))
    change = {i: abs(before[i] - norms[i]) / before[i] if before[i] else 0.0 for i in active}
    middle = median(change.values())
    return next(i for i in active if change[i] >= middle)
