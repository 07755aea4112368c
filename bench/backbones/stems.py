"""First layers made for images of one channel, as timm's `in_chans` makes the other way round."""

from __future__ import annotations

from bench.backbones.keys import Shapes, State
from bench.backbones.report import Change, summarised
from bench.backbones.variant import Variant
from bench.errors import UserError

CHANNELS = 3


def spread(state: State, own: Shapes, variant: Variant) -> tuple[State, list[Change]]:
    """`state` with first layers of one channel repeated for three, each with a third of the weights, and which these are.

    On grey images, whose channels are alike, the layer then gives what it gave before. timm does the same
    (`timm.models._manipulate.adapt_input_conv`). Raises `UserError` for other numbers of channels: which of four would
    be red, green and blue the file does not say, and timm's rule, the first three times 4/3, is a guess.
    """
    channels, names = variant.stems(state, own)
    shapes = [(name, tuple(state[name].shape), tuple(own[name])) for name in names]
    if not all(state[name].is_floating_point() for name in names) or not names:
        return state, []
    if channels != 1 or any(len(theirs) != 4 or ours[1] != CHANNELS for _, theirs, ours in shapes):
        raise UserError(
            f"it is of a network for images of {channels} channel{'s' * (channels > 1)}, and images here have three: "
            f"{summarised(names, shapes)}. Which of its channels are red, green and blue it does not say; keep "
            f"these three in the file, in this order"
        )
    return {**state, **{n: state[n].float().repeat(1, CHANNELS, 1, 1) / CHANNELS for n in names}}, shapes
