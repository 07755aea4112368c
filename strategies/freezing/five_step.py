"""The five-step recipe (Chollet, 2017; document 004): train the new part, unfreeze some of the old, train both.

1 add a new head, 2 freeze the old network, 3 train the head, 4 unfreeze its last k stages, 5 train them and the head
jointly. The first two are what every strategy here starts with. Differs from `staged` in that most stages stay frozen.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class FiveStep(Strategy):
    """Train the head on the frozen network, then the last k stages with it; those below stay frozen."""

    source = "document 004, recipe one; Chollet 2017, Deep Learning with Python, 5.3.2"
    when = "Document 004: little data that differs from the source, since only upper, specific layers are retrained."
    against = "Two learning rates, a split and a depth to choose; what stays frozen cannot adapt."

    k: int = hyperparameter(1, 1, 3)
    probe_lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)
    lr: float = hyperparameter(5e-3, 1e-4, 1e-1, log=True)
    probe_share: float = hyperparameter(0.5, 0.1, 0.7)

    def phases(self, model: Model, task: Task) -> Phases:
        depth = len(model.stages)
        if not 1 <= self.k <= depth:
            raise UserError(f"five_step: k is {self.k}, but the backbone has {depth} stages to unfreeze")
        if task.epochs < 2:
            raise UserError(
                "five_step: one epoch cannot be shared by its two phases; set train.epochs to 2 or more"
            )
        probe = min(max(1, round(self.probe_share * task.epochs)), task.epochs - 1)
        yield Phase("head", probe, model.groups(self.probe_lr, first=depth))
        yield Phase("joint", task.epochs - probe, model.groups(self.lr, first=depth - self.k))
