"""LoRA (Hu et al., 2021): low-rank updates beside frozen weights.

    y = W x + alpha/r B A x,   A: [r, d_in] random, B: [d_out, r] zero, so that training starts from the pretrained net

on every linear and convolution layer of the backbone (A then has the layer's kernel, B one of 1 x 1), where the paper adapts
attention alone. Grouped, depthwise and dilated convolutions stay frozen; normalisation runs on its pretrained
statistics. After training B A is added to W, so that the tested network has the original structure and cost.
"""

from typing import Any

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter
from strategies.shared import peft as adapters


class LoRA(Strategy):
    """Train low-rank updates of all dense layers and the head; merge them at the end."""

    source = "Hu et al. 2021, arXiv:2106.09685; Hugging Face peft"
    when = "The paper: as good as full fine-tuning of large transformers with a thousandth of the trained parameters."
    against = "Made for transformers: on small convolutional nets it saves little, and is no faster to train."
    moves_weights = False

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)
    rank: int = hyperparameter(8, 2, 32, log=True)
    alpha: float = hyperparameter(16.0)

    def phases(self, model: Model, task: Task) -> Phases:
        if self.rank < 1:
            raise UserError(f"lora: rank is {self.rank}, but must be at least 1")
        groups = adapters.adapt(
            "lora", model, self.lr, "LoraConfig", fits, r=self.rank, lora_alpha=self.alpha
        )
        yield Phase("adapters", task.epochs, groups)

    def finish(self, model: Model) -> None:
        adapters.merge(model)


def fits(layer: Any) -> bool:
    """peft refuses grouped convolutions, and forgets dilation and padding modes."""
    convolution = hasattr(layer, "groups")
    return not convolution or (
        layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    )
