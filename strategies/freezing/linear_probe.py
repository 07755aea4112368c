"""Linear probe: only the new output layer trains, on features of the frozen pretrained network."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, hyperparameter


class LinearProbe(Strategy):
    """Freeze the backbone, train the head only, by gradient steps."""

    source = "documents 000, 001, 002, 004"
    when = "The textbook's advice for little data that is similar to the source; the cheapest by far."
    against = (
        "The features cannot adapt: behind full fine-tuning wherever the target differs or the data are many."
    )
    trains_backbone = False
    moves_weights = False

    lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        yield Phase("probe", task.epochs, model.groups(self.lr, first=len(model.stages)))
