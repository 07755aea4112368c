"""The sampler `design`: steps around the defaults instead of random draws over the whole ranges.

A strategy's defaults are somebody's experience, and a few trials are worth more near them, where neighbours tell of one
another. The trials are

1. the defaults;
2. all learning rates together times 10^(-1/2) and 10^(1/2), and 10^-1 and 10 where nothing else is searched;
3. from then on a pattern search (Hooke and Jeeves, 1961): the best setting so far with one other hyperparameter a step
   down or up, then with all its rates, then with one of them; steps are halved where all of these have been tried.

A step is half a decade on a logarithmic range, a quarter of a linear one, at least 1 of a whole number; of choices it is
each other one. What would leave its range ends at its bound. Nothing is drawn, so results alone decide the course.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from bench.planning.search_space import Params, Searched

DECADES, SHARE = 0.5, 0.25
"""A step on a logarithmic range, in decades, and on a linear one, as a share of it."""
RATES = (0, -1, 1, -2, 2)
"""Steps of all learning rates together that are tried whatever comes of them; 0 are the defaults."""
FEWER_RATES = RATES[:3]
"""The same where other hyperparameters are to be searched as well."""
HALVINGS = 4
"""Of a step; finer differences are not worth a trial."""


def next_setting(space: Sequence[Searched], tried: Sequence[Params], best: Params | None) -> dict[str, Any]:
    """The first setting that was not tried; where all were, the best once more."""
    best = best or _defaults(space)
    untried = (s for s in _settings(space, best) if not any(_same(s, other) for other in tried))
    return next(untried, dict(best))


def first_settings(space: Sequence[Searched]) -> list[dict[str, Any]]:
    """Those that are tried whatever comes of them: the defaults, and the defaults at other learning rates."""
    found: list[dict[str, Any]] = []
    for steps in RATES if all(map(_is_rate, space)) else FEWER_RATES:
        setting = _at_other_rates(space, _defaults(space), steps)
        if not any(_same(setting, other) for other in found):
            found.append(setting)
    return found


def _settings(space: Sequence[Searched], best: Params) -> Iterator[dict[str, Any]]:
    yield from first_settings(space)
    for halvings in range(HALVINGS + 1):
        size = 0.5**halvings
        yield from _neighbours([s for s in space if not _is_rate(s)], best, size)
        for step in (-size, size):
            yield _at_other_rates(space, best, step)
        yield from _neighbours([s for s in space if _is_rate(s)], best, size)


def _neighbours(moved: Sequence[Searched], best: Params, size: float) -> Iterator[dict[str, Any]]:
    """One of these hyperparameters a step of this size away."""
    for searched in moved:
        for value in _beside(searched, best[searched.name], size):
            yield {**best, searched.name: value}


def _at_other_rates(space: Sequence[Searched], setting: Params, steps: float) -> dict[str, Any]:
    """All learning rates the same number of steps away; the setting itself where there are none."""
    return {s.name: _moved(s, setting[s.name], steps) if _is_rate(s) else setting[s.name] for s in space}


def _is_rate(searched: Searched) -> bool:
    return searched.log and searched.name.rpartition(".")[2].rpartition("_")[2] == "lr"


def _beside(searched: Searched, value: Any, size: float) -> list[Any]:
    """A step of this size down and up, or the other choices."""
    if searched.choices is not None:
        return [choice for choice in searched.choices if choice != value]
    return [_moved(searched, value, -size), _moved(searched, value, size)]


def _moved(searched: Searched, value: Any, steps: float) -> Any:
    """The number so many steps away, within its range."""
    assert searched.low is not None and searched.high is not None
    by = SHARE * steps * (searched.high - searched.low)
    moved = value * 10 ** (DECADES * steps) if searched.log else value + by
    if isinstance(searched.default, int) and steps:
        moved = max(round(moved), value + 1) if steps > 0 else min(round(moved), value - 1)
    return type(searched.default)(min(max(moved, searched.low), searched.high))


def _same(one: Params, other: Params) -> bool:
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: Any, other: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
    return math.isclose(one, other, rel_tol=1e-6) if numbers else bool(one == other)


def _defaults(space: Sequence[Searched]) -> dict[str, Any]:
    return {s.name: s.default for s in space}
