"""Verdicts that are looked at again and again, as people do, are wrong no more often than those that are looked at once.

The workflow is the one that reports advise: go on until the cell is decided, or until 40 seeds. All noise settings:
tests/benchmarks/verdict_error_rates.py, whose tables are in docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binomtest

from bench.core.records.looks import Ledger, RaceRecord
from bench.planning.seeds import UntilDecided
from reports.analysis.levels import error_rate
from reports.analysis.looks import look_at_study
from reports.analysis.stats import ALPHA
from reports.analysis.verdict import Verdict
from tests.simulation.studies import Simulated, rates, simulate, studies_of

STUDIES = 100  # of four cells
LOOKS = tuple(UntilDecided(until="decided", at_most=40).looks)
NULL, EDGE = (0.0,) * 5, (1.0, -8.0, -8.0, -8.0, -8.0)
FEW = {"looks": LOOKS, "seeds": 40}


def upper(events: int, cells: int) -> float:
    """99 % upper bound of a rate (Clopper and Pearson)."""
    return float(binomtest(events, cells).proportion_ci(0.98).high)


@pytest.mark.parametrize(
    "study",
    [
        Simulated(NULL, **FEW),
        pytest.param(Simulated(NULL, **FEW, datasets=2, uneven=5.0), marks=pytest.mark.long),
        pytest.param(Simulated(NULL, **FEW, datasets=3, taste=2.0), marks=pytest.mark.long),
        pytest.param(Simulated(NULL, **FEW, test_images=200, own=0.3, run=0.3), marks=pytest.mark.long),
        pytest.param(Simulated(NULL, **FEW, shape="t3"), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_contradicted_though_nothing_is_better(study: Simulated) -> None:
    found = rates(study, STUDIES)
    assert upper(found.contradicted, found.cells) <= 2.2 * ALPHA
    assert upper(found.low_wrong, found.cells) <= 2.2 * ALPHA, "the regret's lower bound"


@pytest.mark.parametrize(
    "study",
    [
        Simulated(EDGE, **FEW),
        pytest.param(Simulated((1.0, -3.0, -3.0, -3.0, -3.0), **FEW), marks=pytest.mark.long),
        pytest.param(Simulated(EDGE, **FEW, datasets=3, taste=2.0), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_supported_though_one_is_better_by_the_margin(study: Simulated) -> None:
    found = rates(study, STUDIES, seed=1)
    assert upper(found.supported, found.cells) <= 2.2 * ALPHA
    assert upper(found.high_wrong, found.cells) <= 2.2 * ALPHA, "the regret's upper bound"


def test_without_levels_that_add_up_it_would_be_wrong_several_times_as_often() -> None:
    """What the first edition's reports advised: look at the full level each time, add seeds, look again."""
    wrong, cells = 0, 0
    for looks in zip(*(full_level(n) for n in (3, 5, 8, 12)), strict=True):
        wrong += Verdict.CONTRADICTED in looks
        cells += 1
    assert wrong / cells > 1.5 * ALPHA


def full_level(seeds: int) -> list[Verdict]:
    """Verdicts on the first so many seeds of the same studies."""
    found = studies_of(Simulated(NULL, seeds=12), STUDIES)
    return [
        looks.cell.verdict
        for document, rows in found
        for looks in look_at_study(
            replace(document, seeds=tuple(range(seeds))), [row for row in rows if row["seed"] < seeds]
        )
    ]


def test_a_study_extended_after_its_end_keeps_the_rate_that_its_report_states() -> None:
    """Looked at with 3 seeds, then with 13: up to 5 %, and the ledger knows."""
    wrong, cells = 0, 0
    for document, rows in studies_of(Simulated(NULL, seeds=13), 2 * STUDIES):
        first = replace(document, seeds=(0, 1, 2))
        early = look_at_study(first, [row for row in rows if row["seed"] < 3])
        ledger = Ledger([record for looks in early for record in looks.fresh])
        for before, after in zip(early, look_at_study(document, rows, ledger), strict=True):
            said = {before.cell.verdict, after.cell.verdict}
            wrong += Verdict.CONTRADICTED in said
            cells += 1
            assert error_rate(after.spent) == pytest.approx(2 * ALPHA)
    assert upper(wrong, cells) <= 2.2 * 2 * ALPHA


def test_cutting_a_study_short_where_it_looks_good_gains_nothing() -> None:
    """After a look that is nearly enough, the next seed is made the last: all the level that is left would be spent there."""
    wrong, cells = 0, 0
    for document, rows in studies_of(Simulated(NULL, seeds=20, looks=(3, 5, 8, 12, 20)), STUDIES):
        for n in (3, 5, 8, 12):
            so_far = look_at_study(document, [row for row in rows if row["seed"] < n])
            ledger = Ledger([record for looks in so_far for record in looks.fresh])
            near = {
                one.name for one in so_far if any(c.p < 0.05 and c.mean > 0.01 for c in one.cell.comparisons)
            }
            cut = replace(document, race=RaceRecord((n, n + 1)))
            judged = look_at_study(cut, [row for row in rows if row["seed"] <= n], ledger)
            if near:
                break
        wrong += sum(one.cell.verdict == Verdict.CONTRADICTED for one in judged if one.name in near)
        cells += len(judged)
    assert upper(wrong, cells) <= 2.4 * ALPHA


def test_racing_costs_little_power_and_saves_runs() -> None:
    """Against one look at 20 seeds: one is better by 4 points; all are worse by 4."""
    looks = tuple(UntilDecided(until="decided", at_most=20).looks)
    for effects, right in (((4.0, 0.0, 0.0, 0.0, 0.0), "contradicted"), ((-4.0,) * 5, "supported")):
        raced = rates(Simulated(effects, seeds=20, looks=looks), 25)
        once = rates(Simulated(effects, seeds=20), 25)
        assert getattr(raced, right) >= 0.95 * getattr(once, right) == 0.95 * once.cells
        assert raced.runs < 0.6 * once.runs


def test_what_is_dropped_stays_as_its_look_found_it() -> None:
    for cells in simulate(Simulated((0.0, -8.0, 2.0), seeds=20, looks=(3, 5, 8, 12, 20)), 5):
        for looks in cells:
            for name, seeds in looks.dropped_at.items():
                final = next(c for c in looks.cell.comparisons if c.strategy == name)
                assert final.n == seeds and final == looks.dropped[name]
