"""Freeze a share of the weights: the first stages that together hold at most that share of the backbone's parameters."""

from itertools import accumulate

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class FreezeFraction(Strategy):
    """Freeze the first stages up to a share of the backbone's parameters, train the rest and the head."""

    source = "document 004"
    when = "As freeze_first, where networks of different depth are to be compared at the same share of frozen weights."
    against = "Parameters crowd in the upper stages: half of them is nearly all layers, so small shares freeze nothing."

    share: float = hyperparameter(0.5, 0.05, 0.95)
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        sizes = [sum(p.numel() for p in model.stage_parameters(stage)) for stage in model.stages]
        shares = [total / sum(sizes) for total in accumulate(sizes)]
        frozen = sum(share <= self.share for share in shares)
        if not 0 < frozen < len(sizes):
            listed = ", ".join(f"{share:.3f}" for share in shares[:-1])
            raise UserError(
                f"freeze_fraction: share is {self.share}, but the stages add up to shares of {listed}, 1"
            )
        yield Phase("rest", task.epochs, model.groups(self.lr, first=frozen))
