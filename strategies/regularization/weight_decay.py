"""Weight decay: pulls the weights towards zero, biases and normalisation parameters excepted."""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class WeightDecay(Transform):
    """The optimiser's weight decay on every trained weight (decoupled in AdamW, an L2 gradient in SGD)."""

    last = True
    source = "document 003"
    when = "The usual regulariser; document 003 uses 1e-3."
    against = "Pulls pretrained weights to zero, away from what was learned: Li et al. 2018 pull to the start instead."

    decay: float = hyperparameter(1e-3, 1e-6, 1e-1, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return phase.map_groups(lambda g: replace(g, weight_decay=self.decay))
