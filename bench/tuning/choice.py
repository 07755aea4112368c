"""Which trial is chosen: by default the one with the best smoothed validation accuracy, and only for a reason.

The highest of several noisy scores is a lucky one. So accuracies are smoothed first, as the posterior mean of a Gaussian
process over the hyperparameters: settings that lie near one another have nearly the same accuracy. Then the defaults
stay unless a trial's smoothed accuracy is above theirs by half the standard error of that difference (after the
one-standard-error rule of Breiman et al. 1984; a whole one forgoes more than it saves), and its loss does not say that
it is wrong with great confidence. A setting that was not tried is not chosen.

The constants were fixed on the tables of `tests.benchmarks.search_tables`; docs/tuning.md has what they are worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.planning.search_space import Params, Searched
from bench.tuning.design import DECADES, SHARE

LENGTH = 2.0
"""Steps of the design within which settings tell of one another: a decade of a rate, half of a linear range."""
SPREAD = 0.15
"""Standard deviation of accuracy between settings that are far apart."""
PAIRED = 0.75
"""Variance of a difference of two settings' validation accuracies over that of two independent samples of images.

They are judged on the same images; measured: .74 in the tables.
"""
MARGIN = 0.5
"""Standard errors by which a trial has to be better than the defaults."""
LOSS = 2.0
"""Times the defaults' validation NLL, above which a trial is not chosen whatever its accuracy."""
LEVEL = 1.0
"""Standard deviation of the accuracy of all settings together: nothing is assumed of it."""


@dataclass(frozen=True)
class Candidate:
    """A complete trial. accuracy: on validation images, over all its splits; images: how many these were."""

    number: int
    params: Params
    accuracy: float
    nll: float
    images: int


@dataclass(frozen=True)
class Choice:
    """The chosen trial, why it and not the defaults, as fractions; None where the choice or the search lacks it.

    Attributes:
        smoothed: Its smoothed validation accuracy.
        smoothed_default: That of the defaults.
        standard_error: Of the difference between the two.
    """

    candidate: Candidate
    smoothed: float | None = None
    smoothed_default: float | None = None
    standard_error: float | None = None


def best_so_far(space: Sequence[Searched], candidates: Sequence[Candidate]) -> Params | None:
    """The hyperparameters with the best smoothed accuracy; None where no trial is complete."""
    return candidates[int(smooth(space, candidates)[0].argmax())].params if candidates else None


def highest(candidates: Sequence[Candidate]) -> Choice:
    """`choice: highest`: the highest validation accuracy; ties by validation NLL, then the earlier."""
    return Choice(max(candidates, key=lambda c: (c.accuracy, -c.nll, -c.number)))


def smoothed(space: Sequence[Searched], candidates: Sequence[Candidate]) -> Choice:
    """`choice: smoothed`; where the defaults are no candidate, as after a divergence, the best smoothed."""
    mean, covariance = smooth(space, candidates)
    order = sorted(range(len(candidates)), key=lambda i: (-mean[i], candidates[i].number))
    default = next((i for i, c in enumerate(candidates) if _is_default(space, c.params)), None)
    if default is None:
        return Choice(candidates[order[0]], float(mean[order[0]]))

    def error(i: int) -> float:
        variance = covariance[i, i] + covariance[default, default] - 2 * covariance[i, default]
        return float(np.sqrt(max(variance, 0.0)))

    def is_better(i: int) -> bool:
        sound = candidates[i].nll <= LOSS * candidates[default].nll
        return sound and bool(mean[i] - mean[default] > MARGIN * error(i))

    chosen = next(filter(is_better, order), default)
    compared = chosen if chosen != default else next((i for i in order if i != default), default)
    return Choice(candidates[chosen], float(mean[chosen]), float(mean[default]), error(compared))


def smooth(space: Sequence[Searched], candidates: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
    """Mean [T] and covariance [T, T] of the accuracies of T settings, given one noisy measurement of each.

    A Gaussian process with a squared-exponential kernel, and the binomial noise of so many images.
    """
    x = np.array([coordinates(space, c.params) for c in candidates]).reshape(len(candidates), -1)
    y = np.array([c.accuracy for c in candidates])
    images = np.array([max(c.images, 1) for c in candidates])
    share = np.clip((y @ images + 1) / (images.sum() + 2), 0, 1)  # never quite 0 or 1
    noise = PAIRED * share * (1 - share) / images
    distance = ((x[:, None] - x[None]) ** 2).sum(-1)
    prior = LEVEL**2 + SPREAD**2 * np.exp(-distance / (2 * LENGTH**2))
    gain = np.linalg.solve(prior + np.diag(noise), prior).T
    return y.mean() + gain @ (y - y.mean()), prior - gain @ prior


def coordinates(space: Sequence[Searched], params: Params) -> list[float]:
    """A setting as a point, in steps of the design."""
    return [value for searched in space for value in _coordinate(searched, params[searched.name])]


def _coordinate(searched: Searched, value: Any) -> list[float]:
    if searched.choices is not None:  # any two are LENGTH apart
        return [LENGTH / np.sqrt(2) * (value == choice) for choice in searched.choices]
    assert searched.low is not None and searched.high is not None
    if searched.log:
        return [float(np.log10(value)) / DECADES]
    return [value / (SHARE * (searched.high - searched.low))]


def _is_default(space: Sequence[Searched], params: Mapping[str, Any]) -> bool:
    return all(params[s.name] == s.default for s in space)
