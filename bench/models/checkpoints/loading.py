"""Reads weights into a timm network and says what became of each tensor. Runs no pickled code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from bench.core.errors import UserError
from bench.models.checkpoints import nesting
from bench.models.checkpoints.first_layers import spread
from bench.models.checkpoints.fitting import Incomplete, compare, refuse_incomplete
from bench.models.checkpoints.keys import State, convert
from bench.models.checkpoints.load_report import Change, LoadReport
from bench.models.checkpoints.reading import read_groups
from bench.models.checkpoints.variant import Variant
from bench.models.stages import classifier_names

__all__ = ["LoadReport", "load_checkpoint", "load_state"]

ENOUGH = 0.5
"""Share of the backbone's weights that must fit: with less, what is fine-tuned is mostly the network's random start."""


def load_checkpoint(
    net: nn.Module,
    path: Path,
    rename: Mapping[str, str] | None = None,
    keep_head: bool = False,
    allow_missing: Sequence[str] = (),
    variant: Variant | None = None,
    key: str | None = None,
) -> LoadReport:
    """Loads what fits from `path` into `net`. The checkpoint's classifier is left out unless `keep_head`.

    allow_missing: regular expressions; tensors of the backbone that may keep their initial values. variant: how `net` was
    built; without it first layers of one channel are not adapted, and no buffer passes for computed. key: where the
    network's names begin, in a file that holds several. Raises `UserError` where the file is missing, unreadable or
    holds code, a weight cannot be one, a pattern is wrong, `key` is none or is needed, less than half of the backbone's
    weights fit, or a tensor that is not allowed to would keep its initial value. `net` is then as it was.
    """
    found = nesting.find(Path(path), read_groups(path), net, rename or {}, key)
    source = found.source(Path(path).name)
    return load_state(net, found.state, f"checkpoint {path}", source, keep_head, allow_missing, variant)


def load_state(
    net: nn.Module,
    raw: State,
    where: str,
    source: str,
    keep_head: bool = False,
    allow_missing: Sequence[str] = (),
    variant: Variant | None = None,
) -> LoadReport:
    """The same for tensors under the network's names. where: they come from, for messages; source: for reports."""
    own, classifier = net.state_dict(), classifier_names(net)
    state, stems = convert(raw, net), list[Change]()
    if variant:
        try:
            state, stems = spread(state, net, variant)
        except Incomplete as error:
            raise Incomplete(f"{where}: {error}") from None
    report = compare(raw, state, net, classifier, keep_head, source, stems, variant)
    if report.backbone_share < ENOUGH:
        part = f"only {report.backbone_share:.1%}" if report.backbone_share else "no weight"
        raise UserError(
            f"{where}: {part} of the backbone fits {type(net).__name__}; is it of another architecture? "
            f"{_both_keys(state, own)}"
        )
    _refuse_other_kinds({name: state[name] for name in report.loaded}, own, where)
    fitting = {name: state[name].to(own[name].dtype) for name in report.loaded}
    _refuse_impossible(fitting, where)
    refuse_incomplete(report, net, where, allow_missing, variant)
    net.load_state_dict(fitting, strict=False)
    return report


def _both_keys(state: State, own: State) -> str:
    """Examples of what does not fit: names that only one of them has, or whose shapes differ."""

    def some(names: State, others: State) -> str:
        unfit = [n for n in names if n not in others or names[n].shape != others[n].shape] or list(names)
        return ", ".join(f"{name} {list(names[name].shape)}" for name in unfit[:4])

    return (
        f"The checkpoint has {some(state, own)}, ...; the network has {some(own, state)}, ... "
        "(`rename` maps names, `key` says where in the file they begin)"
    )


def _refuse_other_kinds(state: State, own: State, where: str) -> None:
    """Whole and complex numbers are no weights, though torch would convert them without a word."""
    for name, tensor in state.items():
        if tensor.is_complex() or (own[name].is_floating_point() and not tensor.is_floating_point()):
            kinds = [str(t.dtype).removeprefix("torch.") for t in (tensor, own[name])]
            raise UserError(f"{where}: {name} holds {kinds[0]}, where the network has {kinds[1]}")


def _refuse_impossible(state: State, where: str) -> None:
    """Values that no training leaves: the network would give the same for every image, or nothing at all."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{where}: {name} holds values that are not finite")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise UserError(f"{where}: {name} holds negative variances")
    matrices = [tensor for tensor in state.values() if tensor.is_floating_point() and tensor.ndim > 1]
    if matrices and not any(bool(tensor.any()) for tensor in matrices):
        raise UserError(f"{where}: all its weights are zero")
