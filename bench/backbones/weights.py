"""Reads a local checkpoint into a timm network and says what became of each tensor. Runs no pickled code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from bench.backbones.keys import State, convert, remap
from bench.backbones.reading import read_data_config, read_state
from bench.backbones.report import LoadReport
from bench.backbones.stages import classifier_modules, classifier_names, output_layer
from bench.errors import UserError

__all__ = ["LoadReport", "load_checkpoint", "read_data_config", "read_state"]

ENOUGH = 0.5
"""Share of the body's weights that must fit: with less, what is fine-tuned is mostly the network's random start."""


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
    classes = _classes(state, net)
    report = _compare(state, own, classifier, keep_head, body, classes, Path(path).name)
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


def _classes(state: State, net: nn.Module) -> int:
    """How many classes the checkpoint's own classifier tells apart; 0 where it has none."""
    outputs = {output_layer(head) for head in classifier_modules(net)}
    names = [f"{name}.weight" for name, module in net.named_modules() if module in outputs]
    weights = [state[name] for name in names if name in state]
    return next((len(weight) for weight in weights if weight.ndim), 0)


def _compare(
    state: State,
    own: State,
    classifier: set[str],
    keep_head: bool,
    body: dict[str, int],
    classes: int,
    source: str,
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
        source_classes=classes,
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
