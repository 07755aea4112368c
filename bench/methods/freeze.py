"""What "frozen" means, in one place: a parameter in no group of the phase has its gradient off, and neither
it nor the running statistics of its normalisation layer change, bit for bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from bench.core.errors import UserError

if TYPE_CHECKING:
    from bench.methods.api import Phase


def apply(model: nn.Module, phase: Phase) -> None:
    """Turns gradients on for the parameters of the phase's groups and off for all others, then sets modes.

    A module is in train mode where its subtree holds a trainable parameter; one without parameters where its
    parent is, unless the sibling that it feeds is frozen in part, so dropout inside a frozen part is off.
    Under `norm_stats="keep"`, layers with running statistics (BatchNorm) are always in eval mode.
    """
    trained = {id(parameter) for group in phase.train for parameter in group.params}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
        if not parameter.requires_grad:
            parameter.grad = None
    _set_mode(model, None, phase.norm_stats == "keep")


def check(model: nn.Module, phase: Phase) -> None:
    """Raises `UserError` where the phase cannot be trained as it says: nothing to train, a parameter that is
    listed twice or is not the model's, a learning rate or weight decay that is negative or not finite.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    owner: dict[int, str] = {}
    for group in phase.train:
        where = f"phase {phase.name!r}, group {group.name!r}"
        _check_rate(where, "learning rate", group.lr)
        _check_rate(where, "weight decay", group.weight_decay)
        for i, parameter in enumerate(group.params):
            if id(parameter) not in names:
                raise UserError(
                    f"{where}: parameter {i} of shape {tuple(parameter.shape)} is not the model's"
                )
            if id(parameter) in owner:
                both = f"groups {owner[id(parameter)]!r} and {group.name!r}"
                raise UserError(f"phase {phase.name!r}: {names[id(parameter)]} is listed twice, in {both}")
            owner[id(parameter)] = group.name
    if not owner:
        raise UserError(f"phase {phase.name!r}: the strategy trains nothing")


def _check_rate(where: str, what: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{where}: {what} is {value}, but must be a finite number, 0 or more")


def _set_mode(module: nn.Module, parent: nn.Module | None, keep: bool) -> None:
    """Sets the mode of `module`, whose parent's is set already, and of all below it."""
    module.training = _trains(module, parent, keep)  # not .train(), which would also set the children
    for child in module.children():
        _set_mode(child, module, keep)


def _trains(module: nn.Module, parent: nn.Module | None, keep: bool) -> bool:
    trainable = [parameter.requires_grad for parameter in module.parameters()]
    statistics = _has_running_statistics(module)
    if statistics and keep:
        return False
    if trainable or parent is None:
        return any(trainable)
    if statistics:  # without an affine part it has no parameter to say whether it is frozen
        return _wholly_trained(parent)
    # a dropout belongs to what follows it: a ViT's pos_drop to its blocks, its head_drop to the head
    return parent.training and _wholly_trained(_next_with_parameters(module, parent))


def _wholly_trained(module: nn.Module | None) -> bool:
    return module is None or all(parameter.requires_grad for parameter in module.parameters())


def _next_with_parameters(module: nn.Module, parent: nn.Module) -> nn.Module | None:
    siblings = list(parent.children())
    following = siblings[siblings.index(module) + 1 :]
    return next((sibling for sibling in following if any(True for _ in sibling.parameters())), None)


def _has_running_statistics(module: nn.Module) -> bool:
    """Whether a forward pass in train mode would change a buffer: BatchNorm, EvoNorm and their kin."""
    return any(name.startswith("running_") for name, _ in module.named_buffers(recurse=False))
