"""IA3 (Liu et al., 2022): one learned factor for each output of each layer, everything else frozen.

    y = l * (W x + b),   l: [d_out], starting at one

The paper scales keys, values and the inner activations of a transformer's MLPs; here the outputs of every linear and
convolution layer, depthwise ones too, so that it applies to convolutional nets. After training l is multiplied into
W and b: the tested network has the original structure and cost.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, hyperparameter
from strategies.shared import peft as adapters


class IA3(Strategy):
    """Train a factor for each output channel and the head; merge them at the end."""

    source = "Liu et al. 2022, arXiv:2205.05638; Hugging Face peft"
    when = "The paper: few-shot learning; ten times fewer trained parameters than LoRA."
    against = "Too few degrees of freedom for targets unlike the source; wants a higher rate than weights do."
    moves_weights = False
    excludes = {"weight_decay": "it would pull the factors to zero, and they start at one"}

    lr: float = hyperparameter(3e-2, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        groups = adapters.adapt(
            "ia3", model, self.lr, "IA3Config", lambda layer: True, feedforward_modules=[]
        )
        yield Phase("adapters", task.epochs, groups)

    def finish(self, model: Model) -> None:
        adapters.merge(model)
