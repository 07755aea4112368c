"""Reads the named tensors of a local checkpoint, and what it says of its preprocessing. Runs no pickled code."""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from bench.backbones import kept
from bench.backbones.files import refuse_others
from bench.backbones.keys import State
from bench.errors import UserError, shortened

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "weights")
"""Where training scripts put the weights; averaged ones first, as timm does."""

MAX_WRAPPERS = 8  # within each other; a mapping may even hold itself

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth", ".tar")


def read_state(path: Path) -> State:
    """The named tensors of a .safetensors file or a torch checkpoint, out of their wrappers, on the CPU."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path}: {'not a file' if path.exists() else 'no such file'}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"checkpoint {path}: unknown kind {path.suffix!r}; known: {', '.join(SUFFIXES)}")
    refuse_others(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = _unwrap(content)
    if not state:
        keys = ", ".join(shortened(key) for key in list(content)[:5]) if isinstance(content, Mapping) else ""
        held = keys or (type(content).__name__ if content else "nothing")
        raise UserError(f"checkpoint {path}: holds no named tensors, but {held}")
    return state


def read_data_config(path: Path) -> dict[str, Any]:
    """mean, std, image_size as the harness writes them into its own checkpoints' metadata; {} elsewhere."""
    if Path(path).suffix != ".safetensors" or not Path(path).is_file():
        return {}
    refuse_others(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("data_config", "{}")
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"checkpoint {path}: cannot be read: {error}") from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"checkpoint {path}: its data_config is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


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
        raise UserError(_refusal(path)) from error
    except Exception as error:  # a damaged archive fails in many ways
        if "TorchScript" in str(error):
            raise UserError(_refusal(path)) from error
        raise UserError(f"checkpoint {path}: cannot be read: {error}") from error


def _refusal(path: Path) -> str:
    return (
        f"checkpoint {path}: is not a plain file of weights; pickled code is refused, since loading would "
        "run it. If you trust its origin, convert it once, where you can afford that: "
        "`from safetensors.torch import save_file; m = torch.load(PATH, weights_only=False); "
        "save_file(m.state_dict(), 'weights.safetensors')`"
    )


def _unwrap(content: Any, depth: int = 0) -> State:
    """The innermost mapping of names to tensors."""
    if not isinstance(content, Mapping) or depth > MAX_WRAPPERS:
        return {}
    for wrapper in WRAPPERS:
        inner = _unwrap(content.get(wrapper), depth + 1)
        if inner:
            return inner
    return {name: value.detach() for name, value in content.items() if _is_weight(name, value)}


def _is_weight(name: Any, value: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_meta  # it has no values
    )
