"""Discriminative fine-tuning (ULMFiT; Howard and Ruder, 2018): lr of each stage = lr of the one above / 2.6."""

from bench.methods.api import hyperparameter
from strategies.learning_rates.llrd import LLRD


class Discriminative(LLRD):
    """Each stage learns 2.6 times slower than the one above it (ULMFiT's rule)."""

    source = "Howard and Ruder 2018, arXiv:1801.06146"
    when = "The paper, together with gradual unfreezing and a slanted triangular schedule."
    against = "2.6 was found on language models of three layers: five stages down the rate is a hundredth."

    decay: float = hyperparameter(1 / 2.6, 0.2, 0.5)
