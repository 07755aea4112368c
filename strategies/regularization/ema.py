"""Averaged weights (Polyak and Juditsky, 1992): evaluate an exponential moving average of the weights.

    w_avg = d w_avg + (1 - d) w  after every step,   d = min(decay, (1 + t) / (10 + t))

so that in short runs the average forgets where it began. BatchNorm's statistics are averaged too, counters copied. With
several phases, each has its own average, unless they go on with one run (their spans): then there is one for all.
"""

from bench.methods.api import Model, Phases, Task, Transform, hyperparameter, replace
from strategies.shared.followers import Follower


class EMA(Transform):
    """Evaluate, and keep, a moving average of the weights."""

    last = True
    source = "Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv:1703.01780 (warm-up)"
    when = "Noisy steps: high rates, small batches. Costs next to nothing."
    against = "A schedule that goes to zero averages already; over few steps the average lags behind."
    excludes = {"mean_teacher": "its teacher is such an average already, and is what is evaluated"}

    decay: float = hyperparameter(0.99, 0.9, 0.9999)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        average = None
        for phase in phases:
            if phase.preparation:
                yield phase
                continue
            if average is None or phase.span[0] == 0:
                average = Follower(model.net, lambda step: min(self.decay, (1 + step) / (10 + step)), True)
            phase = phase.after_step(average.follow_net)
            # in between the run goes on from its own weights
            yield replace(phase, eval_weights=average.module.state_dict) if phase.span[1] == 1 else phase
