"""Staged training: freeze the old and train the new, then unfreeze and train jointly at a smaller rate."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class Staged(Strategy):
    """First the head on frozen features, then the last `unfreeze` stages (0: all) jointly; epochs are shared."""

    source = "document 004, recipe one; Howard and Gugger 2020 (fastai's fine_tune)"
    when = (
        "Document 004: two stages, frozen and then unfrozen, so that a random head cannot spoil the backbone."
    )
    against = (
        "Spends part of the budget on the head alone; a faster head (head_x10) reaches the same in one phase."
    )

    lr: float = hyperparameter(5e-3, 1e-4, 1e-1, log=True)
    probe_lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)
    probe_share: float = hyperparameter(0.3, 0.1, 0.7)
    unfreeze: int = hyperparameter(0)

    def phases(self, model: Model, task: Task) -> Phases:
        depth = len(model.stages)
        probe = max(1, round(self.probe_share * task.epochs))
        if not 0 <= self.unfreeze <= depth:
            raise UserError(
                f"staged: unfreeze is {self.unfreeze}, but the backbone has {depth} stages (0: all)"
            )
        if probe >= task.epochs:
            raise UserError(
                "staged: one epoch cannot be shared by its two phases; set train.epochs to 2 or more"
            )
        yield Phase("probe", probe, model.groups(self.probe_lr, first=depth))
        first = depth - self.unfreeze if self.unfreeze else 0
        yield Phase("joint", task.epochs - probe, model.groups(self.lr, first=first))
