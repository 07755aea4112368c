"""Training from scratch: the same network with every weight re-initialised, the baseline of all transfer."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, hyperparameter


class Scratch(Strategy):
    """Re-initialise every weight and train all of them."""

    source = "documents 001, 003"
    when = "The textbook's advice for much data that is dissimilar to the source."
    against = "On VTAB's 1,000-image tasks 23 points below fine-tuning, on the full ones 14: rarely right with few images."
    keeps_pretrained = False

    lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        model.reinitialise()
        yield Phase("scratch", task.epochs, model.groups(self.lr))
