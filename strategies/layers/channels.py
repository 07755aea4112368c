"""Channels that can only go together, found by torch_pruning's dependency graph, and their removal for good."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Site(NamedTuple):
    """The output or input channels of one module, or a dimension of a lone parameter."""

    name: str
    remove: Callable[[Any, list[int]], Any]  # torch_pruning's, for this kind of module
    dim: int
    output: bool


Unit = dict[Site, list[int]]
"""What goes where when one channel goes."""


def couplings(net: nn.Module, image: Tensor, whole: list[nn.Module]) -> list[list[Unit]]:
    """The units of each set of coupled layers; none of those in which outputs of `whole`'s modules take part.

    Leaves the net in eval mode and all its parameters trainable: it is traced by autograd.
    """
    from torch_pruning import DependencyGraph

    net.requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = DependencyGraph().build_dependency(net, (image,), verbose=False)
    names = {id(thing): name for name, thing in (*net.named_modules(), *net.named_parameters())}
    kept = [module for top in whole for module in top.modules()]
    return [_units(graph, group, names) for group in graph.get_all_groups(kept, [nn.Conv2d, nn.Linear])]


def _units(graph: Any, group: Any, names: dict[int, str]) -> list[Unit]:
    size = len(group[0].idxs) // max(_divisions(item.dep.target.module) for item in group)
    units: list[Unit] = [{} for _ in range(size)]
    for item in group:
        target, remove = item.dep.target, item.dep.handler
        if name := names.get(id(target.module)):
            site = Site(name, remove, target.pruning_dim, graph.is_out_channel_pruning_fn(remove))
            for index, root in zip(item.idxs, item.root_idxs, strict=True):
                units[root % size].setdefault(site, []).append(index)
    return units


def _divisions(module: Any) -> int:
    """The groups of a grouped convolution or normalisation, each of which loses as many channels; 1 if depthwise."""
    groups = getattr(module, "groups", getattr(module, "num_groups", 1))
    return 1 if groups == getattr(module, "out_channels", None) else groups


def together(units: Iterable[Unit]) -> Unit:
    """What goes where when all of them go."""
    gone: dict[Site, set[int]] = {}
    for unit in units:
        for site, channels in unit.items():
            gone.setdefault(site, set()).update(channels)
    return {site: sorted(channels) for site, channels in gone.items()}


def remove(net: nn.Module, gone: Unit) -> None:
    """Replaces weights and buffers by smaller ones. `gone` counts channels as they were before any went."""
    with torch.no_grad():
        for site, channels in gone.items():
            parent, _, attribute = site.name.rpartition(".")
            owner = net.get_submodule(parent)
            site.remove.__self__.pruning_dim = site.dim  # type: ignore[attr-defined]
            setattr(owner, attribute, site.remove(getattr(owner, attribute), channels))
