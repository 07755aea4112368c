"""The rule of a tenth (document 004): pretrained layers at a tenth of the rate that training from scratch would use.

The head, which does start from scratch, trains at the from-scratch rate itself, as in document 003. Modules that a
method adds keep the rate that it gives them.
"""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class Tenth(Transform):
    """Backbone at a tenth of the from-scratch rate, head at that rate; replaces the strategy's own rate."""

    source = "documents 003, 004"
    when = "Document 004: always, as a start."
    against = "A rule of thumb: on dissimilar, large sets the best rate of the backbone is often the from-scratch rate."
    needs = ("by_gradient", "trains_backbone", "keeps_pretrained")
    excludes = {
        "shared_prefix": "all that trains there starts from random weights, at the from-scratch rate"
    } | {
        name: "what trains in the backbone there is new, and wants a rate of its own"
        for name in ("lora", "ia3")
    }

    scratch_lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)
    factor: float = hyperparameter(0.1)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        rates = {stage.name: self.factor * self.scratch_lr for stage in model.stages}
        rates[model.head.name] = self.scratch_lr
        return phase.map_groups(lambda g: replace(g, lr=rates.get(g.name, g.lr)))
