"""Stochastic normalisation (Kou et al., 2020): per channel, use the batch's statistics or the moving ones, at random.

    in training, with probability p per channel: batch mean and variance; else the moving ones. In evaluation: moving.

Both branches share scale and shift, and the moving statistics are updated by every batch.
"""

from bench.methods.api import Model, Phases, Task, Transform, UserError, hyperparameter


class StochNorm(Transform):
    """BatchNorm that mixes batch statistics and moving statistics channel by channel."""

    source = "Kou et al. 2020, Stochastic Normalization, NeurIPS"
    when = "The paper: little data, where BatchNorm's parameters and statistics overfit the batch."
    against = "Only for networks with BatchNorm. Gains of one to three points at 15 %, none at full data."
    needs = ("by_gradient", "keeps_pretrained", "trains_backbone", "moves_weights")
    excludes = {"keep_norm_stats": "that is moving statistics always, this is sometimes"}

    p: float = hyperparameter(0.5, 0.1, 0.9)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        from strategies.layers.stoch_norm import convert

        if not convert(model.net, self.p):
            raise UserError(f"stoch_norm: {type(model.net).__name__} has no BatchNorm layer")
        model.restructured()
        yield from phases
