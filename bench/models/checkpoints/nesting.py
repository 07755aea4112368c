"""Which of the networks within a checkpoint is meant: what training scripts nest, and what a study says by `key`.

A file is seen as flat: a tensor's full key joins the keys on the way to it by dots, as `student.backbone.conv1.weight` or
`state_dict.module.encoder_q.conv1.weight`. `key` is where the wanted network's names begin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
from torch import nn

from bench.core.errors import UserError, nearest
from bench.models.checkpoints.keys import State, convert, readings, score

AVERAGED = ("state_dict_ema", "model_ema")
PLAIN = ("state_dict", "model", "model_state_dict", "net", "weights")
"""Where training scripts put a network's weights, and their running average, which is taken of the two, as timm does."""

MAX_SHOWN = 8


@dataclass(frozen=True)
class Found:
    """The weights of one network. key: where its names begin in the file. others: keys of what was not taken."""

    key: str
    state: State
    fits: int
    others: tuple[str, ...] = ()

    def source(self, file: str) -> str:
        """The file, and the key where there is a choice."""
        said = f"{file}, key {self.key}" if self.key and self.others else file
        return f"{said} (not {', '.join(self.others)})" if self.key and self.others else said


def find(
    path: Path, groups: Mapping[str, State], net: nn.Module, rename: Mapping[str, str], key: str | None = None
) -> Found:
    """The weights for `net`, under its names as far as they can be found.

    groups: mappings of names to tensors in the file, by their keys joined with dots. Raises `UserError` where several
    networks fit and `key` does not say which, or where there is no such key.
    """
    if key is not None:
        groups = select(path, groups, key)
    found = [f for name, state in groups.items() for f in _fitting(name, state, net, rename)]
    best = max(found, key=lambda f: (f.fits, f.key.rpartition(".")[2] in PLAIN, len(f.state)))
    rivals = [f for f in found if f.fits and 2 * f.fits >= best.fits]
    exact = [f for f in rivals if f.key in ("", key)]
    if len(rivals) < 2:
        return best
    if taken := exact[:1] or _average(rivals) or _twice(rivals):
        return _chosen(taken[0], rivals)
    raise UserError(f"checkpoint {path}: {_ambiguous(rivals)}")


def select(path: Path, groups: Mapping[str, State], key: str) -> dict[str, State]:
    """The tensors whose full key has `key` at its beginning, or at some one place further in, by where names go on.

    Raises `UserError` where there is none, or where it stands at several places.
    """
    inner = re.compile(rf"(?:^|.*?\.){re.escape(key)}(?=\.)")
    places: dict[str, dict[str, State]] = {}
    for group, state in groups.items():
        for name, tensor in state.items():
            full = f"{group}.{name}" if group else name
            if match := inner.match(full):
                start = max(len(match[0]), len(group)) + 1
                places.setdefault(match[0], {}).setdefault(full[: start - 1], {})[full[start:]] = tensor
    if key in places or len(places) == 1:
        return places[key] if key in places else next(iter(places.values()))
    if places:
        raise UserError(f"checkpoint {path}: key {key!r} stands at several places: {_listed(list(places))}")
    known = keys(groups)
    guess = nearest(key, known)
    meant = guess if "did you mean" in guess and len(known) > 1 else ""
    raise UserError(f"checkpoint {path}: has no key {key!r}{meant}; it has {_listed(known)}")


def keys(groups: Mapping[str, State]) -> list[str]:
    """Where networks may begin in the file: keys of mappings, or where there is one mapping, where its names part."""
    if len(groups) > 1:
        return [group for group in groups if group]
    ((start, state),) = groups.items()
    parts = [name.split(".")[:-1] for name in state if "." in name]
    shared = takewhile(lambda step: len(set(step)) == 1, zip(*parts, strict=False))
    common = [step[0] for step in shared]
    found = dict.fromkeys(".".join([*common, *path[len(common) :][:1]]) for path in parts)
    return [".".join(filter(None, (start, key))) for key in found]


def _fitting(group: str, state: State, net: nn.Module, rename: Mapping[str, str]) -> list[Found]:
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    found = []
    for prefix, read in readings(state, shapes, rename):
        fits = score(read, shapes)[0]
        if 2 * fits < len(shapes):  # a foreign layout, or one that is resized
            fits = score(convert(read, net), shapes)[0]
        key = ".".join(part for part in (group, prefix.removesuffix(".")) if part)
        found.append(Found(key, read, fits))
    return found


def _average(rivals: Sequence[Found]) -> list[Found]:
    """The running average of the weights, where the rivals are that and the weights themselves."""
    first = {rival.key.partition(".")[0]: rival for rival in rivals}
    averaged = [first[name] for name in AVERAGED if name in first]
    alone = len(rivals) == 2 and len(averaged) == 1 and any(name in first for name in PLAIN)
    return averaged if alone else []


def _twice(rivals: Sequence[Found]) -> list[Found]:
    """The first, where a script has written one network under several of the usual names."""
    first, *rest = rivals
    usual = all(rival.key.partition(".")[0] in (*AVERAGED, *PLAIN) for rival in rivals)
    same = usual and all(
        first.state.keys() == other.state.keys()
        and all(torch.equal(tensor, other.state[name]) for name, tensor in first.state.items())
        for other in rest
    )
    return [first] if same else []


def _chosen(found: Found, rivals: Sequence[Found]) -> Found:
    others = tuple(rival.key or "its outermost level" for rival in rivals if rival is not found)
    return Found(found.key, found.state, found.fits, others)


def _ambiguous(rivals: Sequence[Found]) -> str:
    shown = [_short(rival.key, [r.key for r in rivals if r is not rival]) for rival in rivals]
    return (
        f"holds {len(rivals)} networks that fit, and which is meant cannot be told: {_listed(shown)}. Say it in the study, "
        f"beside `checkpoint`: `key: {shown[0]}`"
    )


def _short(key: str, others: Sequence[str]) -> str:
    """As many parts of a key as it takes to tell it from the others."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        start = ".".join(parts[:count])
        if not any(other == start or other.startswith(f"{start}.") for other in others):
            return start
    return key


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_SHOWN])
    return f"{shown}, and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else shown
