"""Reads the named tensors of a local checkpoint. Runs no pickled code."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from bench.core.errors import UserError, shortened
from bench.models.checkpoints import salvage
from bench.models.checkpoints import unpickled as inert
from bench.models.checkpoints.file_kinds import refuse_others
from bench.models.checkpoints.keys import State
from bench.storage import weights as kept

MAX_DEPTH = 8  # of mappings within each other; one may even hold itself

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth", ".tar")

Keys = tuple[Any, ...]

SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")


def read_groups(path: Path) -> dict[str, State]:
    """The mappings of names to tensors in a .safetensors file or a torch checkpoint, on the CPU.

    -> by the keys on the way to each, joined with dots; "" is the outermost. The state of an optimiser is none of them.
    Raises `UserError` for a file that is missing, unreadable, holds code, or no named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path}: {'not a file' if path.exists() else 'no such file'}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"checkpoint {path}: unknown kind {path.suffix!r}; known: {', '.join(SUFFIXES)}")
    refuse_others(path)
    if shard := SHARD.search(path.name):
        raise UserError(
            f"checkpoint {path}: is one of {int(shard[1])} parts of a network; give one file with all of it"
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    groups = {".".join(map(str, keys)): state for keys, state in _groups(content, ())}
    if not groups:
        raise UserError(f"checkpoint {path}: holds no named tensors, but {_held(content)}")
    return groups


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"checkpoint {path}: cannot be read: {error}") from error
    if not kept.agree(state, metadata):
        raise UserError(f"checkpoint {path}: damaged: the checksum it was saved with is of other weights")
    return state


def _read_torch(path: Path) -> Any:
    try:
        # plain data in timm's own checkpoints; torch's warnings are about files that are refused here
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        return _read_beside_objects(path, error)
    except Exception as error:  # a damaged archive fails in many ways
        if "TorchScript" in str(error):
            raise UserError(
                f"checkpoint {path}: is a program of TorchScript, not a plain file of weights; pickled code is refused, "
                f"since loading would run it. {_recipe(path, 'torch.jit.load(PATH)', 'dict(m.state_dict())')}"
            ) from error
        raise UserError(f"checkpoint {path}: cannot be read: {error}") from error


def _read_beside_objects(path: Path, cause: Exception) -> Any:
    """Weights beside objects that torch does not take for data: the objects are left out, without being made."""
    try:
        pickled = inert.read(path)
        if pickled.bare:
            raise UserError(f"checkpoint {path}: {_bare(path, pickled.names)}") from cause
        content = salvage.load(path, pickled)
        modules = pickled.modules()
    except inert.Unreadable:
        raise UserError(
            f"checkpoint {path}: cannot be read: its pickle is damaged, or none of torch's"
        ) from cause
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"checkpoint {path}: damaged: {error}") from error
    weights = [keys for keys, _ in _groups(content, ())]
    if not pickled.code and (weights or not modules):
        return content
    what = f"holds {', '.join(pickled.code[:3])}" if pickled.code else "holds a whole network"
    raise UserError(
        f"checkpoint {path}: {what}, and is not a plain file of weights; pickled code is refused, since loading would run "
        f"it.{_conversion(path, weights, modules)}"
    ) from cause


def _bare(path: Path, names: Sequence[str]) -> str:
    said = "was written by pickle, not by torch.save; pickled code is refused, since loading would run it."
    tensors = any(name.startswith("torch.") for name in names)
    load = "__import__('pickle').load(open(PATH, 'rb'))"
    return f"{said} {_recipe(path, load, 'm')}" if tensors else said


def _conversion(path: Path, weights: Sequence[Keys], modules: Sequence[Keys]) -> str:
    """How to get a file of the weights alone; empty where there are none."""
    parts = {keys: f"m{_subscript(keys)}.state_dict()" for keys in modules} or {
        keys: f"m{_subscript(keys)}" if keys else "{k: v for k, v in m.items() if torch.is_tensor(v)}"
        for keys in weights
    }
    if not parts:
        return ""
    several = ", ".join(f"{'.'.join(map(str, keys))!r}: {part}" for keys, part in parts.items())
    saved = f"{{{several}}}" if len(parts) > 1 else next(iter(parts.values()))
    load = "torch.load(PATH, map_location='cpu', weights_only=False)"
    return f" {_recipe(path, load, saved)}"


def _subscript(keys: Keys) -> str:
    return "".join(f"[{key!r}]" for key in keys)


def _recipe(path: Path, load: str, weights: str) -> str:
    """Python that writes the weights alone. Whoever runs it trusts the file."""
    target = f"{path.stem}-weights.pth"
    return (
        "If you trust its origin, convert it once, where you can afford that and the code that it needs is installed: "
        f"`import torch; m = {load.replace('PATH', repr(str(path)))}; torch.save({weights}, {target!r})`"
    )


def _groups(content: Any, keys: Keys) -> Iterator[tuple[Keys, State]]:
    """Every mapping that holds named tensors, from the outermost in."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or len(keys) > MAX_DEPTH or "param_groups" in content:
        return
    if state := {name: value.detach() for name, value in content.items() if _is_weight(name, value)}:
        yield keys, state
    for key, value in content.items():
        yield from _groups(value, (*keys, key))


def _held(content: Any) -> str:
    """What is in a file without weights, in words."""
    if not isinstance(content, Mapping):
        return type(content).__name__ if content else "nothing"
    if "param_groups" in content or any(
        isinstance(v, Mapping) and "param_groups" in v for v in content.values()
    ):
        return "the state of an optimiser, which is no network"
    return ", ".join(shortened(key) for key in list(content)[:5]) or "nothing"


def _is_weight(name: Any, value: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_meta  # it has no values
    )
