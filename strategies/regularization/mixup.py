"""mixup (Zhang et al., 2018): train on convex combinations of pairs of images and of their targets.

x = lam x_i + (1 - lam) x_j,   y = lam y_i + (1 - lam) y_j,   lam ~ Beta(alpha, alpha), one per batch
"""

from bench.methods.api import Batch, Model, Phase, Task, Transform, hyperparameter, replace, torch
from strategies.shared.mixing import mixed_targets


class Mixup(Transform):
    """Mix pairs of images and their targets."""

    source = "Zhang et al. 2018, arXiv:1710.09412"
    when = "Standard in long training from scratch."
    against = (
        "Few steps and few images: the network underfits. Training loss and accuracy are those of mixtures."
    )
    excludes = {"cutmix": "one way to mix images at a time"}

    alpha: float = hyperparameter(0.2, 0.05, 1.0)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        def mix(batch: Batch) -> Batch:
            lam = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
            other = torch.randperm(len(batch.x)).to(batch.x.device)
            x = lam * batch.x + (1 - lam) * batch.x[other]
            target, weight = mixed_targets(batch, other, 1 - lam)
            return replace(batch, images=x, target=target, weight=weight)

        return phase.map_batch(mix)
