"""Step schedule: the rate is multiplied by `factor` once, `at` a share of training (L2-SP's authors: /10 at 5/9)."""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class Step(Transform):
    """Full rate up to a share of training, then a tenth of it."""

    source = "Li et al. 2018, arXiv:1802.01483 (/10 at 5,000 of 9,000 steps); the older convention"
    when = "To repeat papers that use it."
    against = "Where to step is one more hyperparameter; cosine needs none."

    at: float = hyperparameter(5 / 9, 0.3, 0.9)
    factor: float = hyperparameter(0.1, 0.01, 0.5, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return replace(phase, schedule=lambda t: 1.0 if t < self.at else self.factor)
