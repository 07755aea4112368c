"""Reads a local checkpoint into a timm network and says what became of each tensor. Runs no pickled code."""

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
from torch import Tensor, nn

from bench.backbones import kept
from bench.backbones.files import refuse_others
from bench.backbones.keys import State, convert, remap
from bench.backbones.report import LoadReport
from bench.backbones.stages import classifier_names
from bench.errors import UserError, shortened

__all__ = ["LoadReport", "load_checkpoint", "read_data_config", "read_state"]

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "weights")
"""Where training scripts put the weights; averaged ones first, as timm does."""

MAX_WRAPPERS = 8  # within each other; a mapping may even hold itself

ENOUGH = 0.5
"""Share of the body's weights that must fit: with less, what is fine-tuned is mostly the network's random start."""

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth", ".tar")


def load_checkpoint(
    net: nn.Module, path: Path, rename: Mapping[str, str] | None = None, keep_head: bool = False
) -> LoadReport:
    """Loads what fits from `path` into `net`. The checkpoint's classifier is left out unless `keep_head`.

    Raises `UserError` where the file is missing, unreadable or holds code, a weight is not finite, a pattern
    of `rename` is wrong, or less than half of the body's weights fit.
    """
    own, classifier = net.state_dict(), classifier_names(net)
    state = remap(read_state(path), {name: tuple(tensor.shape) for name, tensor in own.items()}, rename or {})
    state = convert(state, net)
    body = {name: p.numel() for name, p in net.named_parameters() if name not in classifier}
    report = _compare(state, own, classifier, keep_head, body, Path(path).name)
    if report.body_share < ENOUGH:
        part = f"only {report.body_share:.1%}" if report.body_share else "no weight"
        raise UserError(
            f"checkpoint {path}: {part} of the body fits {type(net).__name__}; is it of another architecture? "
            f"{_both_keys(state, own)}"
        )
    _refuse_other_kinds({name: state[name] for name in report.loaded}, own, path)
    fitting = {name: state[name].to(own[name].dtype) for name in report.loaded}
    _refuse_nonfinite(fitting, path)
    net.load_state_dict(fitting, strict=False)
    return report


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


def _classes(state: State, classifier: set[str]) -> int:
    """How many classes the checkpoint's own classifier tells apart; 0 where it has none."""
    return next((len(state[name]) for name in sorted(classifier) if name in state and state[name].ndim), 0)


def _compare(
    state: State, own: State, classifier: set[str], keep_head: bool, body: dict[str, int], source: str
) -> LoadReport:
    left_out = set() if keep_head else classifier
    shared = [name for name in own if name in state]
    fits = [name for name in shared if state[name].shape == own[name].shape]
    loaded = [name for name in fits if name not in left_out]
    wrong = [(n, tuple(state[n].shape), tuple(own[n].shape)) for n in shared if n not in set(fits)]
    return LoadReport(
        loaded=loaded,
        missing=[name for name in own if name not in state],
        unexpected=[name for name in state if name not in own],
        mismatched=wrong,
        head=[name for name in fits if name in left_out],
        source_classes=_classes(state, classifier),
        body_share=sum(body.get(name, 0) for name in loaded) / max(1, sum(body.values())),
        source=source,
    )


def _both_keys(state: State, own: State) -> str:
    def some(names: Mapping[str, Tensor]) -> str:
        return ", ".join(f"{name} {list(names[name].shape)}" for name in list(names)[:4])

    return f"The checkpoint has {some(state)}, ...; the network has {some(own)}, ... (`rename` maps names)"


def _refuse_other_kinds(state: State, own: State, path: Path) -> None:
    """Whole and complex numbers are no weights, though torch would convert them without a word."""
    for name, tensor in state.items():
        if tensor.is_complex() or (own[name].is_floating_point() and not tensor.is_floating_point()):
            kinds = [str(t.dtype).removeprefix("torch.") for t in (tensor, own[name])]
            raise UserError(f"checkpoint {path}: {name} holds {kinds[0]}, where the network has {kinds[1]}")


def _refuse_nonfinite(state: State, path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"checkpoint {path}: {name} holds values that are not finite")
