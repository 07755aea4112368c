"""Maps names in a checkpoint to a network's own: wrapper prefixes, the user's patterns, timm's converters."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from bench.errors import UserError

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.")
MAX_DEPTH = 4
State = dict[str, Tensor]
Shapes = Mapping[str, "tuple[int, ...]"]


def remap(state: State, shapes: Shapes, rename: Mapping[str, str]) -> State:
    """`state` under the network's names, as far as they can be found.

    shapes: of the network's tensors by name. rename: regular expression -> replacement, applied in order.
    Patterns may be written against the keys as they are in the file or without their wrapper prefixes: what
    fits more tensors is taken. Raises `UserError` on a broken or unused pattern, or two keys that become one.
    """
    if not rename:
        return strip(state, shapes)
    patterns = [_compile(pattern, replacement) for pattern, replacement in rename.items()]
    starts = [strip(state, shapes), _without_wrappers(state), state]
    _refuse_unused(patterns, starts)
    return max((strip(_rename(start, patterns), shapes) for start in starts), key=lambda s: score(s, shapes))


def score(state: State, shapes: Shapes) -> tuple[int, int]:
    """How well names fit: tensors that would load, then names that are at least known."""
    known = [name for name in state if name in shapes]
    return sum(tuple(state[name].shape) == tuple(shapes[name]) for name in known), len(known)


def strip(state: State, shapes: Shapes, depth: int = MAX_DEPTH) -> State:
    """Removes the chain of known prefixes after which most tensors fit; the fewest prefixes win a tie."""
    candidates = [state]
    if depth:
        present = [prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in state)]
        candidates += [strip(_without(state, prefix), shapes, depth - 1) for prefix in present]
    return max(candidates, key=lambda s: score(s, shapes))


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
    """Without `prefix` where a name starts with it; a name that is there already is not overwritten."""
    stripped = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    return {**stripped, **{name: t for name, t in state.items() if not name.startswith(prefix)}}


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
