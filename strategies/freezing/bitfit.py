"""BitFit (Ben Zaken, Ravfogel, Goldberg, 2022): only the biases and the head train.

Biases of normalisation layers are biases too; in convolutional networks they are nearly all that there are. Their scales
stay fixed, and with them BatchNorm runs in train mode: a layer of which a part trains is not frozen.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class BitFit(Strategy):
    """Train the bias terms of the backbone, and the head."""

    source = "Ben Zaken et al. 2022, arXiv:2106.10199"
    when = "The paper, for transformers: on small to medium data level with full fine-tuning at .1 % of its parameters."
    against = "Falls behind as data grow; convolutional networks have few biases apart from BatchNorm's."

    lr: float = hyperparameter(1e-2, 1e-4, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        groups = model.groups(self.lr, only=lambda name, _: name.endswith("bias"))
        if all(group.is_head for group in groups):
            raise UserError(f"bitfit: {type(model.net).__name__} has no biases")
        yield Phase("biases", task.epochs, groups)
