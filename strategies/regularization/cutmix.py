"""CutMix (Yun et al., 2019): paste a rectangle of one image into another, mix the targets by area.

width and height sqrt(1 - lam) of the image, lam ~ Beta(alpha, alpha), centre uniform, cut off at the border;
lam is then the area that is left
"""

from bench.methods.api import Batch, Model, Phase, Task, Transform, hyperparameter, replace, torch
from strategies.shared.mixing import mixed_targets


class CutMix(Transform):
    """Paste a rectangle of another image, targets mixed by its area."""

    source = "Yun et al. 2019, arXiv:1905.04899"
    when = "Standard in long training from scratch; keeps local texture that mixup blurs."
    against = "As mixup; on small objects the pasted rectangle may hold nothing of its class."

    alpha: float = hyperparameter(1.0, 0.1, 2.0)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        def paste(batch: Batch) -> Batch:
            height, width = batch.x.shape[-2:]
            side = float(1 - torch.distributions.Beta(self.alpha, self.alpha).sample()) ** 0.5
            rows, columns = (
                span(float(c), side, n) for c, n in zip(torch.rand(2), (height, width), strict=True)
            )
            other = torch.randperm(len(batch.x)).to(batch.x.device)
            x = batch.x.clone()
            x[..., rows, columns] = batch.x[other][..., rows, columns]
            pasted = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
            target, weight = mixed_targets(batch, other, pasted)
            return replace(batch, images=x, target=target, weight=weight)

        return phase.map_batch(paste)


def span(centre: float, length: float, n: int) -> slice:
    """The pixels of n that lie within `length` around `centre`, both as shares."""
    return slice(max(0, round((centre - length / 2) * n)), min(n, round((centre + length / 2) * n)))
