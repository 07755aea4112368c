"""Freeze the first k stages, counted from the stem, and train the rest with the head."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class FreezeFirst(Strategy):
    """Freeze the first k stages (the general, low-level features), train the rest and the head."""

    source = "document 004; Yosinski et al. 2014, arXiv:1411.1792"
    when = "Document 004: freezing the front layers saves memory and time where data are few."
    against = "On dissimilar targets the front layers are often the ones to tune (Lee et al. 2023)."

    k: int = hyperparameter(2, 1, 4)
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        if not 0 <= self.k <= len(model.stages):
            raise UserError(
                f"freeze_first: k is {self.k}, but the backbone has stages 1..{len(model.stages)} to freeze (0: none)"
            )
        yield Phase("rest", task.epochs, model.groups(self.lr, first=self.k))
