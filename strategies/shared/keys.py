"""What an image is compared with: keys, by class, from a copy of the network that follows it."""

from bench.methods.api import Batch, Model, Tensor, torch
from strategies.shared.followers import Follower

PROJECTOR = "bi_tuning_projector"


class Keys:
    """The newest `size` keys of each class, in `queue`: h [N, D + 1], z [N, dim] and y [N]; `encoder` makes them."""

    def __init__(self, encoder: Follower[Model], size: int) -> None:
        self.encoder, self.size = encoder, size
        self.queue: tuple[Tensor, ...] = ()
        self.latest: tuple[Tensor, ...] = ()

    def make(self, model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
        """h and z of the batch; they join the queue only after the step."""
        encoder = self.encoder.in_mode_of(model)
        h, z = encode(encoder, encoder.observe(batch.x).features)
        self.latest = (h, z, batch.y)
        self.queue = self.queue or tuple(kind[:0] for kind in self.latest)
        return h, z

    def renew(self, model: Model) -> None:
        self.encoder.follow(model)
        h, z, y = (torch.cat(pair) for pair in zip(self.latest, self.queue, strict=True))
        age = torch.nn.functional.one_hot(y).cumsum(dim=0).gather(1, y[:, None])[:, 0]  # in its class, from 1
        self.queue = tuple(kind[age <= self.size] for kind in (h, z, y))


def encode(model: Model, features: Tensor) -> tuple[Tensor, Tensor]:
    """Features [B, D] -> h [B, D + 1], z [B, dim], both of unit length."""
    one = features.new_ones(len(features))
    return with_one(features, one), unit(model.extra[PROJECTOR](features))


def with_one(rows: Tensor, last: Tensor | None) -> Tensor:
    """[N, D] with a last column (zero without one), each row of unit length."""
    column = rows.new_zeros(len(rows)) if last is None else last
    return unit(torch.cat([rows, column[:, None]], dim=1))


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=1)


def divergence(own: Tensor, others: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Mean of KL(u || softmax(s / T)); s: own [B] and others [B, N]; u: equal mass on own and on `same` [B, N]."""
    log_p = (torch.cat([own[:, None], others], dim=1).float() / temperature).log_softmax(dim=1)
    u = torch.nn.functional.pad(same.float(), (1, 0), value=1.0)
    return torch.nn.functional.kl_div(log_p, u / u.sum(dim=1, keepdim=True), reduction="batchmean")
