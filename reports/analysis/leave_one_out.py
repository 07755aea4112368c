"""How good is the advice? Leave-one-dataset-out: each is advised on from the others alone, and held against its results.

All conditions of a dataset are held out together, in every study and on every backbone: its other sizes would give it away.
The policies are compared by *regret*: accuracy lost against the best strategy that was measured in a condition. The
best is picked on the same results, so regret is biased upward (winner's curse), but for all policies alike: their
differences are not.
A dataset is one observation; intervals are Student's t over datasets, with the variance of Nadeau and Bengio (2003):
the picks for one dataset were learnt from the others, so they are not independent of each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from statistics import fmean

from reports.analysis.advice import advise
from reports.analysis.dataset_intervals import LEAST, Interval, by_dataset, over_datasets, two_sided_t
from reports.analysis.evidence import Condition, Place


class Policy(StrEnum):
    """What picks a strategy for a dataset."""

    ADVICE = "advice"
    RULE = "rule"  # the textbook's
    FULL = "always full"  # the baseline
    PROBE = "linear probe"
    FIXED = "best fixed"  # the best mean over the other datasets
    SIZE = "by size alone"  # as the advice, by images per class and network, without a look at the images


ADVICE, RULE, FULL, PROBE, FIXED, SIZE = Policy


@dataclass(frozen=True)
class HeldOut:
    """A held-out condition: what each policy picks there, its regret, and how far off the expected accuracy was.

    Only policies whose pick has a result are in `picks` and `regrets`. error: measured minus expected accuracy, of the
    advice; miss: the same in log odds.
    """

    condition: Condition
    picks: Mapping[Policy, str]
    regrets: Mapping[Policy, float]
    error: float | None
    miss: float | None = None


@dataclass(frozen=True)
class Score:
    """A policy over the held-out conditions in which it and the advice have a pick with a result.

    regret, advice_regret: over these. saved: its regret minus the advice's, paired; above 0 the advice is better.
    """

    policy: Policy
    conditions: int
    regret: Interval
    advice_regret: float
    saved: Interval


def learn(evidence: Sequence[Condition], reference: str, foreign: bool = False) -> tuple[list[HeldOut], bool]:
    """The held-out conditions, with accuracies expected by probe or from the neighbours alone, and which: what erred less.

    A probe of few images may err by more than datasets differ. foreign: hold out the condition's network as well.
    """
    by_probe, plain = (held_out(evidence, reference, way, foreign) for way in (True, False))
    margins = [error_margin(found) for found in (by_probe, plain)]
    if margins[0] and margins[1] and margins[1][0] < margins[0][0]:
        return plain, False
    return by_probe, True


def held_out(
    evidence: Sequence[Condition], reference: str, by_probe: bool = True, foreign: bool = False
) -> list[HeldOut]:
    """One per condition, advised on by the other datasets alone. Every condition must have the reference.

    foreign: by the other networks alone as well; conditions are left out where there are none.
    """
    found = []
    for dataset, backbone in dict.fromkeys(
        (c.dataset, c.place.backbone if foreign else "") for c in evidence
    ):
        rest = [c for c in evidence if c.dataset != dataset and c.place.backbone != backbone]
        own = [c for c in evidence if c.dataset == dataset and backbone in ("", c.place.backbone)]
        if rest or not foreign:
            fixed = _best_fixed(rest, reference)
            found += [_held_out(c, rest, reference, fixed, by_probe) for c in own]
    return found


def _held_out(
    condition: Condition, rest: Sequence[Condition], reference: str, fixed: Sequence[str], by_probe: bool
) -> HeldOut:
    gains = condition.gains(reference)
    advice = advise(condition.place, rest, reference, by_probe)
    # of the ranking, the first that this condition has a result of: others cannot be judged here
    ranked = [r for r in advice.ranked if r.strategy in gains] if advice else []
    picks = {
        ADVICE: ranked[0].strategy if ranked else None,
        RULE: condition.rule,
        FULL: reference,
        PROBE: condition.probe,
        FIXED: next((s for s in fixed if s in gains), None),
        SIZE: next((s for s in _by_size(condition, rest, reference) if s in gains), None),
    }
    known = {policy: pick for policy, pick in picks.items() if pick in gains and pick is not None}
    best = max(gains.values())
    error = condition.accuracy(ranked[0].strategy) - ranked[0].accuracy if ranked else None
    miss = condition.odds(ranked[0].strategy) - ranked[0].odds if ranked else None
    return HeldOut(
        condition, known, {policy: best - gains[pick] for policy, pick in known.items()}, error, miss
    )


def _by_size(condition: Condition, rest: Sequence[Condition], reference: str) -> list[str]:
    """A control: what measures of the images are worth is what the advice has over this."""
    place = _bare(condition.place)
    found = advise(place, [replace(c, place=_bare(c.place)) for c in rest], reference, by_probe=False)
    return [ranked.strategy for ranked in found.ranked] if found else []


def _bare(place: Place) -> Place:
    return Place(place.backbone, place.n_per_class)


def _best_fixed(rest: Sequence[Condition], reference: str) -> list[str]:
    """Strategies by their mean gain, datasets weighing equally; those of at least half of the datasets."""
    by_strategy: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for condition in rest:
        for strategy, gain in condition.gains(reference).items():
            by_strategy[strategy][condition.dataset].append(gain)
    datasets = len({c.dataset for c in rest})
    means = {
        strategy: fmean(map(fmean, found.values()))
        for strategy, found in by_strategy.items()
        if 2 * len(found) >= datasets
    }
    return sorted(means, key=lambda strategy: -means[strategy])


def scores(found: Sequence[HeldOut]) -> list[Score]:
    """In the order of `Policy`; without those that never have a pick with a result."""
    return [score for policy in Policy for score in [_score(found, policy)] if score]


def _score(found: Sequence[HeldOut], policy: Policy) -> Score | None:
    both = [t for t in found if policy in t.regrets and ADVICE in t.regrets]
    if not both:
        return None
    regret = over_datasets([(t.condition.dataset, t.regrets[policy]) for t in both])
    advice = over_datasets([(t.condition.dataset, t.regrets[ADVICE]) for t in both])
    saved = over_datasets([(t.condition.dataset, t.regrets[policy] - t.regrets[ADVICE]) for t in both])
    return Score(policy, len(both), regret, advice.mean, saved)


def shown(found: Sequence[Score], policy: Policy = RULE) -> bool:
    """Whether following the advice is shown to be better than the policy on datasets it had not seen.

    The picks were made without the dataset they are judged on, so however many strategies there are to pick from, a
    store of pure noise passes this in at most about 2.5 % of cases.
    """
    score = next((s for s in found if s.policy == policy), None)
    return score is not None and score.saved.low is not None and score.saved.low > 0


def error_margin(found: Sequence[HeldOut]) -> tuple[float, int] | None:
    """Half width of a 95 % range, in log odds, and the datasets that it was learnt from: None for fewer than three.

    t times the root mean square of the misses on held-out datasets, bias included, datasets weighing equally.
    """
    squares = by_dataset([(t.condition.dataset, t.miss**2) for t in found if t.miss is not None])
    n = len(squares)
    return (two_sided_t(n - 1) * sqrt(fmean(squares.values())), n) if n >= LEAST else None


def covered(found: Sequence[HeldOut]) -> tuple[int, int] | None:
    """Left-out conditions whose accuracy lies in the range made from the *other* datasets' errors, and all of them."""
    hits = total = 0
    for one in found:
        others = [t for t in found if t.condition.dataset != one.condition.dataset]
        margin = error_margin(others)
        if one.miss is not None and margin is not None:
            total += 1
            hits += abs(one.miss) <= margin[0]
    return (hits, total) if total else None
