"""What mixup and CutMix do to the targets."""

from bench.methods.api import Batch, Tensor


def mixed_targets(batch: Batch, other: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """(target [B, K], weight [B]) whose loss is (1 - share) of each image's weighted loss and `share` of its partner's.

    other: [B] positions of the partners. Mixing targets and weights apart would lose what the weights balance.
    """
    own = batch.weight[:, None] * batch.target
    mass = (1 - share) * own + share * own[other]
    weight = mass.sum(dim=1)
    return mass / weight[:, None], weight
