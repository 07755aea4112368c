"""Adapters through Hugging Face's peft: put into the backbone, trained beside frozen weights, merged at the end."""

import re
from collections.abc import Callable
from typing import Any

from bench.core.errors import NeedsWeights
from bench.methods.api import Group, Model, UserError, torch
from strategies.shared.extras import extra


def adapt(
    name: str, model: Model, lr: float, config: str, fits: Callable[[Any], bool], **hyperparameters: Any
) -> list[Group]:
    """Puts peft's adapters of `config` on the backbone's linear and convolution layers for which `fits` holds.

    Returns their groups, one a stage, and the head's. Only plain layers qualify: timm's own kinds of convolution change
    their weights or pad before use, and an adapter beside them could not be merged.
    """
    peft = extra(name, "peft")
    _refuse_dead_branches(name, model)
    backbone = {parameter for stage in model.stages for parameter in stage.param_names}
    plain = (torch.nn.Linear, torch.nn.Conv2d)
    layers = [
        layer
        for layer, module in model.net.named_modules()
        if type(module) in plain and f"net.{layer}.weight" in backbone and fits(module)
    ]
    if not layers:
        raise UserError(f"{name}: {type(model.net).__name__} has no linear or convolution layer to adapt")
    own = {id(parameter) for parameter in model.parameters()}
    target = "|".join(re.escape(layer) for layer in layers)  # a list would match endings of names
    settings = getattr(peft, config)(target_modules=target, **hyperparameters)
    model.modify(lambda net: peft.inject_adapter_in_model(settings, net))
    return model.groups(lr, only=lambda _, parameter: id(parameter) not in own)


def merge(model: Model) -> None:
    """Adds what the adapters learned to the weights beside them, and takes the adapters out."""
    model.modify(_unload)


def _unload(net: Any) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(net.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            net.set_submodule(name, layer.get_base_layer())


def _refuse_dead_branches(name: str, model: Model) -> None:
    """Behind a normalisation layer whose weights are all zero, and frozen, no adapter ever gets a gradient.

    timm's ResNets without pretrained weights start so.
    """
    modules = model.net.named_modules()
    norms = [
        (n, m.weight) for n, m in modules if getattr(m, "weight", None) is not None and m.weight.ndim == 1
    ]
    dead = [n for n, weight in norms if not weight.any()]
    if dead:
        raise NeedsWeights(
            f"{name}: the weights of {', '.join(dead[:3])}{', ...' * (len(dead) > 3)} are all zero and stay frozen, so "
            "that nothing could learn behind them: use pretrained weights, or backbone kwargs {zero_init_last: false}"
        )
