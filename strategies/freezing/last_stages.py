"""Last-k stages: train the head and the top of the backbone, keep everything below frozen."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class LastStages(Strategy):
    """Train the last k stages and the head, freeze the rest."""

    source = "documents 001, 004"
    when = "The textbook's advice for little data that is dissimilar: keep the general features, relearn the upper ones."
    against = "How many stages is a matter of trial; on a target unlike the source the lower ones may be what is wrong."

    k: int = hyperparameter(1, 1, 3)
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        depth = len(model.stages)
        if not 1 <= self.k <= depth:
            raise UserError(
                f"last_stages: k is {self.k}, but the backbone has stages 1..{depth} (0: linear_probe)"
            )
        yield Phase("last", task.epochs, model.groups(self.lr, first=depth - self.k))
