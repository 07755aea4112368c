"""Averaged weights (Polyak and Juditsky, 1992): evaluate an exponential moving average of the weights.

    w_avg = d w_avg + (1 - d) w  after every step,   d = min(decay, (1 + t) / (10 + t))

so that in short runs the average forgets where it began. BatchNorm's statistics are averaged too, counters copied. With
several phases, each has its own average, from which the next one goes on.
"""

from bench.api import Model, Phase, Task, Transform, knob, replace
from strategies._averages import Average


class EMA(Transform):
    """Evaluate, and keep, a moving average of the weights."""

    family = "regularize"
    source = "Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv:1703.01780 (warm-up)"
    when = "Noisy steps: high rates, small batches. Costs next to nothing."
    against = "A schedule that goes to zero averages already; over few steps the average lags behind."
    excludes = {"mean_teacher": "its teacher is such an average already, and is what is evaluated"}

    decay: float = knob(0.99, 0.9, 0.9999)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        average = Average(model.net, lambda step: min(self.decay, (1 + step) / (10 + step)))
        return replace(phase.after_step(average.update), eval_weights=average.net.state_dict)
