"""One cycle (Smith and Topin, 2018), as in torch and fastai 1: a cosine up from lr/div, then one to nearly zero.

    lr/div -> lr over the share `rise` of the steps,   lr -> lr/(div * final_div) over the rest

fastai 2 rises over .25 and ends at lr/1e5, 6e-6 of the peak away from here.
"""

from math import cos, pi

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class OneCycle(Transform):
    """Cosine up over the first 30 % of training, cosine down over the rest."""

    source = "Smith and Topin 2018, arXiv:1708.07120; Howard and Gugger 2020, arXiv:2002.04688"
    when = "fastai's default: high peak rates in few epochs."
    against = "The momentum cycle of the paper is left out (optimisers are the study's), and a long warm-up costs steps."

    rise: float = hyperparameter(0.3, 0.1, 0.5)
    div: float = hyperparameter(25.0, 5.0, 100.0)
    final_div: float = hyperparameter(1e4)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        low, end = 1 / self.div, 1 / (self.div * self.final_div)

        def schedule(t: float) -> float:
            if t < self.rise:
                return low + (1 - low) * (1 - cos(pi * t / self.rise)) / 2
            return end + (1 - end) * (1 + cos(pi * (t - self.rise) / (1 - self.rise))) / 2

        return replace(phase, schedule=schedule)
