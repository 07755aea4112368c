"""Feature maps channel by channel, and how much the loss needs each channel (DELTA's attention)."""

from bench.methods.api import Batch, Model, Task, Tensor, torch

IMAGES = 128  # at most, in one pass without channels


def by_channel(model: Model, fm: Tensor) -> Tensor:
    """A map [B, C, H, W], [B, H, W, C] or [B, tokens, C] as [B, positions, C], a view."""
    last = fm.ndim == 3 or getattr(model.net, "output_fmt", "NCHW") == "NHWC"
    return (fm if last else fm.movedim(1, -1)).flatten(1, -2)


def channel_importance(model: Model, task: Task, limit: int) -> dict[str, Tensor]:
    """By map, C * softmax(zscore(d) / 5), d [C] the loss of `limit` batches without each channel."""
    total: dict[str, Tensor] = {}
    for batch in task.batches(model, limit, seed=0):
        for name, fm in model.eval_output(batch.x).maps.items():
            some = torch.arange(by_channel(model, fm).shape[-1]).split(max(1, IMAGES // len(batch.y)))
            losses = torch.cat([loss_without(model, batch, name, channels) for channels in some])
            total[name] = total.get(name, 0.0) + losses
    z = {name: (d - d.mean()) / d.std(correction=0).clamp(min=1e-12) for name, d in total.items()}
    return {name: len(scores) * (scores / 5).softmax(0) for name, scores in z.items()}


def loss_without(model: Model, batch: Batch, name: str, channels: Tensor) -> Tensor:
    """[channels]: the loss in eval mode, summed over the batch, with each of these channels of the map at zero."""

    def erase(module: object, args: object, fm: Tensor) -> Tensor:
        copies = fm.repeat(len(channels), *[1] * (fm.ndim - 1))
        each = by_channel(model, copies).unflatten(0, (len(channels), -1))
        each[torch.arange(len(channels)), :, :, channels] = 0.0
        return copies

    handle = model.net.get_submodule(name).register_forward_hook(erase)
    try:
        log_p = model.eval_output(batch.x).logits.log_softmax(-1).unflatten(0, (len(channels), -1))
    finally:
        handle.remove()
    losses: Tensor = -(batch.target * log_p).sum((1, 2))
    return losses
