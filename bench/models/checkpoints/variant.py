"""Networks like a given one, of another size or with other channels: what a checkpoint that does not fit was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.models.checkpoints.keys import Shapes, State
from bench.models.checkpoints.load_report import Change

SIZES = (224, 256, 384, 192, 448, 512, 336, 288, 320, 240, 160, 128, 96, 64, 48, 32)
"""Image sizes that networks are published for, the most frequent first."""

OTHER_SEED = 0x5EED


@dataclass(frozen=True)
class Variant:
    """create: takes arguments of `timm.create_model` that differ from the network's own. image_size: the network's;
    native_size: of the architecture; both in pixels."""

    create: Callable[..., nn.Module]
    image_size: int
    native_size: int

    def shapes(self, **changes: Any) -> dict[str, tuple[int, ...]]:
        """Of all tensors of such a network, by name; {} where there is no such network."""
        try:
            try:
                with torch.device("meta"):  # costs no memory and draws no numbers
                    net = self.create(**changes)
            except Exception:  # constructors that look at their weights
                with _other_random_state():
                    net = self.create(**changes)
        except Exception:  # whatever a constructor fails with on a size that it cannot have
            return {}
        return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}

    def size_for(self, wrong: Mapping[str, Sequence[int]]) -> int | None:
        """The first usual image size at which tensors have these shapes; None where there is none."""
        for size in dict.fromkeys((self.native_size, *SIZES)):
            shapes = self.shapes(img_size=size) if size != self.image_size else {}
            if wrong and shapes and all(shapes.get(name) == tuple(wrong[name]) for name in wrong):
                return size
        return None

    def resized(self, net: nn.Module, names: Sequence[str]) -> list[Change]:
        """(name, shape at the native size, shape in `net`) of those of `names` that have another shape at this size."""
        if self.image_size == self.native_size:
            return []
        native, own = self.shapes(img_size=self.native_size), net.state_dict()
        shapes = [(name, native.get(name), tuple(own[name].shape)) for name in names]
        return [(name, before, now) for name, before, now in shapes if before and before != now]

    def computed(self, net: nn.Module, names: Sequence[str]) -> set[str]:
        """Those of the buffers `names` that the constructor computes: tables of positions, fixed transforms.

        Another random start gives them the same values, and a training step does not change them, as it does running
        statistics. A network that cannot be built or run like this is taken to compute none.
        """
        if not names:
            return set()
        try:
            with _other_random_state():
                trained = self.create().train()
                fresh = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
                with torch.no_grad():
                    trained(torch.randn(2, 3, self.image_size, self.image_size))
        except Exception:  # whatever a constructor or a forward pass fails with
            return set()
        own, after = net.state_dict(), trained.state_dict()
        return {
            name
            for name in names
            if name in fresh
            and torch.equal(own[name].cpu(), fresh[name])
            and torch.equal(fresh[name], after[name])
        }

    def stems(self, state: State, own: Shapes) -> tuple[int, list[str]]:
        """(channels of the images that the checkpoint's network takes, names of the tensors in which it differs from one
        of three); (3, []) where it is not the number of channels in which they differ."""
        wrong = {
            n: tuple(state[n].shape) for n in own if n in state and tuple(state[n].shape) != tuple(own[n])
        }
        candidates = sorted(_channels(wrong, own))
        base = self.shapes() if candidates else {}
        for channels in candidates:
            shapes = self.shapes(in_chans=channels)
            names = [name for name in shapes if shapes[name] != base.get(name)]
            if names and all(wrong.get(name) == shapes[name] for name in names):
                return channels, names
        return 3, []


def _channels(wrong: Shapes, own: Shapes) -> set[int]:
    """How many channels images would need to have for weights [out, in, ...] to differ like this."""
    pairs = [(wrong[n], tuple(own[n])) for n in wrong if len(wrong[n]) == len(own[n]) >= 2]
    return {
        3 * theirs[1] // ours[1]
        for theirs, ours in pairs
        if (theirs[0], *theirs[2:]) == (ours[0], *ours[2:]) and 3 * theirs[1] % ours[1] == 0
    } - {0, 3}


@contextmanager
def _other_random_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(OTHER_SEED)
        yield
