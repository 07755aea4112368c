"""First layers made for images of one channel, as timm's `in_chans` makes the other way round."""

from __future__ import annotations

import copy

import torch
from torch import nn

from bench.models.checkpoints.fitting import Incomplete
from bench.models.checkpoints.keys import State
from bench.models.checkpoints.load_report import Change, summarised
from bench.models.checkpoints.variant import Variant

CHANNELS = 3


def spread(state: State, net: nn.Module, variant: Variant) -> tuple[State, list[Change]]:
    """`state` with first layers of one channel repeated for three, each with a third of the weights, and which these are.

    On grey images, whose channels are alike, the layer then gives what it gave before. timm does the same
    (`timm.models._manipulate.adapt_input_conv`). Raises `UserError` where that cannot be had: for other numbers of
    channels (which of four would be red, green and blue the file does not say, and timm's rule, the first three times
    4/3, is a guess), and for layers that standardise their weights, whose scale would be another.
    """
    own = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    channels, names = variant.stems(state, own)
    shapes = [(name, tuple(state[name].shape), own[name]) for name in names]
    if not names or not all(state[name].is_floating_point() for name in names):
        return state, []
    said = f"it is of a network for images of {channels} channel{'s' * (channels > 1)}, and images here have three"
    if channels != 1:
        raise Incomplete(
            f"{said}: {summarised(names, shapes)}. Which of its channels are red, green and blue it does not say; keep "
            "these three in the file, in this order"
        )
    if all(len(theirs) == 4 and ours[1] == CHANNELS for _, theirs, ours in shapes):
        more = {**state, **{n: state[n].float().repeat(1, CHANNELS, 1, 1) / CHANNELS for n in names}}
        if _same_on_grey(state, more, names, net, variant.create(in_chans=1)):
            return more, shapes
    raise Incomplete(
        f"{said}: {summarised(names, shapes)}. This kind of layer cannot be spread over them and stay the same function"
    )


@torch.no_grad()
def _same_on_grey(state: State, more: State, names: list[str], net: nn.Module, grey_net: nn.Module) -> bool:
    x = torch.linspace(-1, 1, 2 * 32 * 32).sin().reshape(2, 1, 32, 32)
    for layer in (name.rpartition(".")[0] for name in names):
        before = _filled(grey_net.get_submodule(layer), state, layer)(x)
        after = _filled(net.get_submodule(layer), more, layer)(x.expand(-1, CHANNELS, -1, -1))
        if not torch.allclose(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
            return False
    return True


def _filled(layer: nn.Module, state: State, prefix: str) -> nn.Module:
    layer = copy.deepcopy(layer).eval()
    own = {name: state.get(f"{prefix}.{name}", tensor) for name, tensor in layer.state_dict().items()}
    layer.load_state_dict(own)
    return layer
