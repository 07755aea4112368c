"""Slanted triangular rates (ULMFiT; Howard and Ruder, 2018): a short linear rise, a long linear fall.

    lr(t) = lr * (1 + p (ratio - 1)) / ratio,   p = t / cut  up to the cut,  then  1 - (t - cut) / (1 - cut)

with t the share of the steps done; the paper rounds the cut down to a whole step, which is none in short runs.
"""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class SlantedTriangular(Transform):
    """Rise over the first tenth of training, then fall linearly to 1/32 of the rate."""

    source = "Howard and Ruder 2018, arXiv:1801.06146"
    when = "The paper: to converge quickly to a suitable region, then refine."
    against = "Seldom differs from warm-up and cosine by more than chance."

    cut: float = hyperparameter(0.1, 0.02, 0.5)
    ratio: float = hyperparameter(32.0, 4.0, 100.0)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        def schedule(t: float) -> float:
            p = t / self.cut if t < self.cut else 1 - (t - self.cut) / (1 - self.cut)
            return (1 + p * (self.ratio - 1)) / self.ratio

        return replace(phase, schedule=schedule)
