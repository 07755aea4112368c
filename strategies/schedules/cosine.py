"""Cosine annealing (SGDR; Loshchilov and Hutter, 2017), one cycle without restarts: lr * (1 + cos(pi t)) / 2."""

from math import cos, pi

from bench.methods.api import Model, Phase, Task, Transform, replace


class Cosine(Transform):
    """Half a cosine from the full rate to zero, without warm-up."""

    source = "Loshchilov and Hutter 2017, arXiv:1608.03983"
    when = "The usual choice where the number of epochs is known."
    against = "Without warm-up the first steps are the largest, while the head is still random."

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return replace(phase, schedule=lambda t: (1 + cos(pi * t)) / 2)
