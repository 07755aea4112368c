"""Maps names in a checkpoint to a network's own: wrapper prefixes, the user's patterns, timm's converters."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from bench.core.errors import UserError

WRAPPERS = re.compile(
    r"(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_fpw_module)(?=\.)"
)
"""What `torch.compile`, FSDP, activation checkpointing and Lightning put into names, at any depth."""

ANY_WRAPPER = re.compile(r"(^|\.)module(?=\.)")
"""What (Distributed)DataParallel puts around parts of a network; a network may have a part of that name itself."""
State = dict[str, Tensor]
Shapes = Mapping[str, "tuple[int, ...]"]


def remap(state: State, shapes: Shapes, rename: Mapping[str, str]) -> State:
    """`state` under the network's names, as far as they can be found: the first of its `readings`."""
    return readings(state, shapes, rename)[0][1]


def readings(state: State, shapes: Shapes, rename: Mapping[str, str]) -> list[tuple[str, State]]:
    """(prefix that was removed, `state` under the network's names) for each network in it that fits, best first.

    shapes: of the network's tensors by name. rename: regular expression -> replacement, applied in order.
    Patterns may be written against the keys as they are in the file or without their wrapper prefixes: what
    fits more tensors is taken. Raises `UserError` on a broken or unused pattern, or two keys that become one.
    """
    if not rename:
        return _stripped(state, shapes)
    patterns = [_compile(pattern, replacement) for pattern, replacement in rename.items()]
    starts = [_stripped(state, shapes)[0][1], _without_wrappers(state), state]
    _refuse_unused(patterns, starts)
    found = (_stripped(_rename(start, patterns), shapes) for start in starts)
    return max(found, key=lambda readings: score(readings[0][1], shapes))


def score(state: State, shapes: Shapes) -> tuple[int, int]:
    """How well names fit: tensors that would load, then names that are at least known."""
    known = [name for name in state if name in shapes]
    return sum(tuple(state[name].shape) == tuple(shapes[name]) for name in known), len(known)


def _stripped(state: State, shapes: Shapes) -> list[tuple[str, State]]:
    """The state without each prefix that makes its names the network's: the best, and those that offer half the same names.

    Names that are the network's as they stand win over any prefix, where as many fit. Where nothing fits, what all names
    begin with is removed if it is a wrapper's, for other layouts are found by names too.
    """
    cleaned = _unwrapped(state, WRAPPERS)
    cleaned = max([cleaned, _unwrapped(cleaned, ANY_WRAPPER)], key=lambda s: _most(s, shapes))
    fits = _prefixes(cleaned, shapes)
    if not fits:
        return [("", _without_wrappers(cleaned))]
    best, *rest = sorted(fits, key=lambda p: (-len(fits[p]), len(p)))
    rivals = [p for p in rest if best and 2 * len(fits[p] & fits[best]) >= len(fits[best])]
    return [(prefix, _without(cleaned, prefix)) for prefix in (best, *rivals)]


def _prefixes(state: State, shapes: Shapes) -> dict[str, set[str]]:
    """The network's names that fit without each prefix that ends in a dot, or without any ("").

    Not by chance, as `norm.weight` of some block does: half the names behind a prefix, or a fifth of the network's.
    """
    fits: dict[str, set[str]] = {}
    behind: Counter[str] = Counter()
    for name, tensor in state.items():
        start = 0
        while True:
            behind[name[:start]] += 1
            if shapes.get(name[start:]) == tuple(tensor.shape):
                fits.setdefault(name[:start], set()).add(name[start:])
            start = name.find(".", start) + 1
            if not start:
                break
    return {
        prefix: found
        for prefix, found in fits.items()
        if not prefix or 2 * len(found) >= behind[prefix] or 5 * len(found) >= len(shapes)
    }


def _most(state: State, shapes: Shapes) -> tuple[int, int]:
    """How well names fit behind their best prefix: tensors that would load, then names that are at least known."""
    fits = _prefixes(state, shapes)
    best = max(fits, key=lambda prefix: len(fits[prefix]), default="")
    return len(fits.get(best, ())), score(_without(state, best), shapes)[1]


def _unwrapped(state: State, wrapper: re.Pattern[str]) -> State:
    """Without `wrapper` anywhere in the names, unless two would become one."""
    renamed = {wrapper.sub("", name).removeprefix("."): tensor for name, tensor in state.items()}
    return renamed if len(renamed) == len(state) else state


def convert(state: State, net: nn.Module) -> State:
    """timm's converter for the family (foreign layouts, resized position embeddings), where it helps."""
    converter = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if converter is None:
        return state
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    try:
        converted = converter(dict(state), net)
        return converted if score(converted, shapes) > score(state, shapes) else state
    except Exception:  # converters assume their family's layouts, and fail in any way on others
        return state


def _without(state: State, prefix: str) -> State:
    """Without `prefix`, or as much of it as a name begins with.

    Of what stands outside the prefix, say a classifier, only modules that have no part behind it are the network's: a
    `layer2.` beside `student.layer2.` is another network's, and fills no gap.
    """
    parts = prefix.split(".")[:-1]
    starts = [".".join(parts[:n]) + "." for n in range(len(parts), 0, -1)] + [""]
    of_name = {name: next(s for s in starts if name.startswith(s)) for name in state}
    behind = {name.removeprefix(prefix).partition(".")[0] for name in state if name.startswith(prefix)}
    stripped: State = {}
    for start in starts:
        for name, tensor in state.items():
            own = name.removeprefix(start)
            if of_name[name] == start and (start == prefix or own.partition(".")[0] not in behind):
                stripped.setdefault(own, tensor)
    return stripped


def _without_wrappers(state: State) -> State:
    from timm.models import clean_state_dict

    return clean_state_dict(state)


Pattern = tuple["re.Pattern[str]", str]


def _compile(pattern: str, replacement: str) -> Pattern:
    try:
        return re.compile(pattern), replacement
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise UserError(f"rename: {pattern!r} is not a regular expression: {error}") from error


def _refuse_unused(patterns: Sequence[Pattern], starts: Sequence[State]) -> None:
    """A pattern that matches nothing is a typing error; later patterns may match what earlier ones wrote."""
    names = {name for start in starts for name in start}
    for pattern, replacement in patterns:
        if not any(pattern.search(name) for name in names):
            examples = ", ".join(sorted(names)[:3])
            raise UserError(f"rename: {pattern.pattern!r} matches no key of the checkpoint ({examples}, ...)")
        names |= {_substitute(pattern, replacement, name) for name in names}


def _rename(state: State, patterns: Sequence[Pattern]) -> State:
    origin: dict[str, str] = {}
    for name in state:
        renamed = name
        for pattern, replacement in patterns:
            renamed = _substitute(pattern, replacement, renamed)
        if renamed in origin:
            raise UserError(f"rename: {origin[renamed]!r} and {name!r} both become {renamed!r}")
        origin[renamed] = name
    return {renamed: state[name] for renamed, name in origin.items()}


def _substitute(pattern: re.Pattern[str], replacement: str, name: str) -> str:
    try:
        return pattern.sub(replacement, name)
    except (re.error, IndexError, TypeError) as error:  # an unknown \g<name> is an IndexError
        raise UserError(f"rename: replacement {replacement!r} of {pattern.pattern!r}: {error}") from error
