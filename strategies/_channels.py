"""Feature maps channel by channel, [B, C, H, W] of convolutional networks and [B, tokens, C] of transformers alike."""

from bench.api import Batch, Model, Tensor, cross_entropy, replace, torch


def per_channel(maps: Tensor) -> Tensor:
    """[B, C, positions]"""
    return maps.flatten(2) if maps.ndim == 4 else maps.mT


def channel_losses(model: Model, batches: list[Batch]) -> dict[str, Tensor]:
    """By name of the map, [C]: the loss over `batches` with that channel set to zero, in eval mode.

    One forward pass per channel and batch: minutes on networks with thousands of channels.
    """
    training = [m for m in model.modules() if m.training]
    model.eval()
    with torch.no_grad():
        sizes = {name: per_channel(m).shape[1] for name, m in model.observe(batches[0].x[:1]).maps.items()}
        found = {
            name: torch.stack([_without(model, name, c, batches) for c in range(n)])
            for name, n in sizes.items()
        }
    for m in training:
        m.training = True
    return found


def _without(model: Model, name: str, channel: int, batches: list[Batch]) -> Tensor:
    def silence(module, args, output: Tensor) -> Tensor:
        output = output.clone()
        output[(slice(None), channel) if output.ndim == 4 else (..., channel)] = 0
        return output

    handle = model.net.get_submodule(name).register_forward_hook(silence)
    losses = [
        cross_entropy(model, replace(batch))["ce"] for batch in batches
    ]  # a copy: outputs are not remembered
    handle.remove()
    return torch.stack(losses).mean()
