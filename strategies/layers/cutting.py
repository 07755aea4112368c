"""Which channels to cut, so that a network does less work."""

from __future__ import annotations

import copy
from bisect import bisect_left

import torch

from bench.methods.api import Model, UserError
from strategies.layers.channels import Unit, couplings, remove, together
from strategies.layers.filters import Scores, filter_layers
from strategies.layers.work import blank, multiply_adds, work_left

LOTS = (8, 4, 2, 1)
"""Channels that go at a time, at most a quarter of a layer: processors work in such widths, odd ones save no time."""


def cut(model: Model, scores: Scores, target: float) -> None:
    """Removes channels until no more than `target` multiply-adds are left: the lowest scores first, over all layers.

    In lots of a layer, ranked by their means, and at most half of a layer in one call. Modules with attention heads keep
    all outputs, and what is added to those stays whole with them.
    """
    heads = [m for m in model.net.modules() if hasattr(m, "num_heads") and m is not model.net]
    lots: list[tuple[float, list[Unit]]] = []
    for units in couplings(model.net, blank(model), [*model.classifiers, *model.auxiliary, *heads]):
        scored = sorted(((score(unit, scores), unit) for unit in units), key=lambda pair: pair[0])
        size = next((lot for lot in LOTS if 4 * lot <= len(scored)), 1)
        for i in range(0, len(scored) // 2 - size + 1, size):
            values, members = zip(*scored[i : i + size], strict=True)
            lots.append((sum(values) / size, list(members)))
    ranked = [lot for _, lot in sorted(lots, key=lambda pair: pair[0])]
    work = multiply_adds(model)

    def first(n: int) -> Unit:
        return together(unit for lot in ranked[:n] for unit in lot)

    enough = bisect_left(range(len(ranked)), True, key=lambda n: work_left(model, work, first(n)) <= target)
    gone = first(enough)
    model.modify(lambda net: remove(net, gone))
    # what was cut has the plain layout; torch has no type for this
    model.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def score(unit: Unit, scores: Scores) -> float:
    """The mean over the filters that go."""
    values = [
        sum(scores[site.name][i] for i in channels) / len(channels)
        for site, channels in unit.items()
        if site.output and site.name in scores
    ]
    return sum(values) / len(values)


def rehearse(model: Model, share: float) -> float:
    """The multiply-adds of the network. Raises `UserError` where `share` of them cannot be cut."""
    trial, kind = copy.deepcopy(model), type(model.net).__name__
    norms = {n: m.weight.detach().flatten(1).norm(dim=1).tolist() for n, m in filter_layers(model).items()}
    work = sum(multiply_adds(model).values())
    try:
        cut(trial, norms, (1 - share) * work)
        left = sum(multiply_adds(trial).values())
    except Exception as error:  # whatever torch_pruning, or the network after it, fails with
        raise UserError(f"trans_tailor: torch_pruning cannot cut a {kind}: {error}") from error
    if left > (1 - share) * work:
        raise UserError(f"trans_tailor: of a {kind}, {share:.0%} of the work a round is more than can be cut")
    return work
