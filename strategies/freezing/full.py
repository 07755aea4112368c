"""Full fine-tuning: every weight trains on from its pretrained value."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, hyperparameter


class Full(Strategy):
    """Fine-tune every weight at about a tenth of the from-scratch rate."""

    source = "documents 000, 001, 003, 004"
    when = "The textbook's advice for much data that is similar to the source; the baseline of nearly all papers."
    against = (
        "Overfits small sets, and at too high a rate destroys the pretrained features (Kumar et al. 2022)."
    )

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        yield Phase("full", task.epochs, model.groups(self.lr))
