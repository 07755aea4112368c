"""Studies whose truth is known: rows as a report gets them, from a model of where accuracies come from.

The accuracy of strategy j on dataset d at condition c (images per class, backbone) with seed s is

    base + effect_j + taste_dj + split_ds + own_dsj + run_dcsj,     rounded to 1 / (test images)

- taste: what strategy j gains on dataset d beyond its mean; sums to 0 over a cell's datasets, so effect_j is the truth.
- split: shared by all strategies, cancels in differences.
- own: what a strategy makes of a split, shared by sizes and backbones of the seed; the rule's is in every difference.
- run: all else.

All noise is in accuracy points and has mean 0. Everything goes through `reports.analysis.looks.look_at_study`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np

from bench.core.records.looks import RaceRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import CELLS, Metric, Status
from reports.analysis.looks import Looks, look_at_study
from reports.analysis.verdict import Verdict
from tests.support import report_samples as samples

MARGIN = 0.01
RULE = "rule"


@dataclass(frozen=True)
class Simulated:
    """One setting. Numbers in accuracy points (.01); `effects`: of each alternative against the rule's pick."""

    effects: tuple[float, ...]
    seeds: int = 3
    datasets: int = 1
    conditions: int = 1  # per cell: 1, or 4 for two sizes by two backbones
    split: float = 3.0
    own: float = 1.0
    run: float = 1.0
    taste: float = 0.0
    uneven: float = 1.0  # noise of the first dataset as a multiple of the others'
    noisy: float = 1.0  # noise of the first alternative as a multiple of the others'
    shape: str = "normal"  # or "t3", "skewed", "collapse": a tenth of the rule's runs end 10 points lower
    test_images: int = 1000
    looks: tuple[int, ...] = ()  # seeds after which is looked until a cell is decided; (): once, at the end

    @property
    def best(self) -> float:
        """True advantage of the best alternative, in points."""
        return max(self.effects)


@dataclass(frozen=True)
class Rates:
    """Out of `cells` cells judged. `high`, `low`: those whose regret's bound misses the true regret on that side.

    seeds, runs: means over the cells, of the seeds at which it was judged last, and of the runs that it took.
    """

    cells: int
    supported: int
    contradicted: int
    low_wrong: int
    high_wrong: int
    seeds: float = 0.0
    runs: float = 0.0


def rates(study: Simulated, studies: int, seed: int = 0, as_blocks: bool = False) -> Rates:
    """Judge `studies` simulated studies of four cells each.

    as_blocks: every size and backbone of a seed passes for a seed of its own, as if they were independent.
    """
    found = [looks for cells in simulate(study, studies, seed, as_blocks) for looks in cells]
    judged = [looks.cell for looks in found]
    regret = max(0.0, study.best / 100)
    return Rates(
        len(judged),
        sum(cell.verdict == Verdict.SUPPORTED for cell in judged),
        sum(cell.verdict == Verdict.CONTRADICTED for cell in judged),
        sum(cell.regret_low > regret for cell in judged),
        sum(cell.regret_high < regret for cell in judged),
        fmean(cell.seeds for cell in judged),
        fmean(_runs(study, looks) for looks in found),
    )


def _runs(study: Simulated, looks: Looks) -> int:
    """What the cell took: of dropped alternatives up to the look that dropped them, of the others up to the last."""
    kept = len(looks.cell.strategies) - len(looks.dropped_at)
    seeds = sum(looks.dropped_at.values()) + kept * looks.cell.seeds
    return seeds * study.datasets * study.conditions


def simulate(study: Simulated, studies: int, seed: int = 0, as_blocks: bool = False) -> Iterator[list[Looks]]:
    for document, rows in studies_of(study, studies, seed, as_blocks):
        yield look_at_study(document, rows)


def studies_of(
    study: Simulated, studies: int, seed: int = 0, as_blocks: bool = False
) -> Iterator[tuple[StudyRecord, list[Any]]]:
    """Document and rows of each."""
    document, plan, _ = _plan(study.datasets, study.seeds, study.conditions, len(study.effects), as_blocks)
    if study.looks:
        document = replace(document, race=RaceRecord(study.looks))
    draw = np.random.default_rng(seed)
    for _ in range(studies):
        values = accuracies(study, draw).tolist()
        yield document, [row | {Metric.TEST_ACCURACY: value} for row, value in zip(plan, values, strict=True)]


def accuracies(study: Simulated, draw: np.random.Generator) -> np.ndarray:
    """[rows of the plan]: test accuracies as fractions."""
    *_, at = _plan(study.datasets, study.seeds, study.conditions, len(study.effects), False)
    cell, d, s, c, j = at
    k, sets, seeds, m = len(CELLS), study.datasets, study.seeds, len(study.effects) + 1
    noise = np.ones((sets, m))
    noise[0] *= study.uneven
    noise[:, 1] *= study.noisy
    taste = study.taste * draw.standard_normal((k, sets, m))
    taste -= taste.mean(axis=1, keepdims=True)
    split = study.split * draw.standard_normal((k, sets, seeds))
    own = study.own * _noise(study.shape, draw, (k, sets, seeds, m))
    run = study.run * _noise(study.shape, draw, (k, sets, seeds, study.conditions, m))
    points = 70 + np.array([0.0, *study.effects])[j] + taste[cell, d, j] + split[cell, d, s]
    points = points + noise[d, j] * (own[cell, d, s, j] + run[cell, d, s, c, j])
    return np.round(np.clip(points / 100, 0, 1) * study.test_images) / study.test_images


def _noise(shape: str, draw: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Mean 0 and, but for "collapse", variance 1; [..., strategy], the rule's pick first."""
    if shape == "t3":
        return draw.standard_t(3, size) / np.sqrt(3)
    if shape == "skewed":
        return 1 - draw.exponential(1.0, size)
    if shape == "collapse":
        found = draw.standard_normal(size)
        found[..., 0] -= 10 * ((draw.random(size[:-1]) < 0.05) - 0.05)
        return found
    return draw.standard_normal(size)


@cache
def _plan(datasets: int, seeds: int, conditions: int, alternatives: int, as_blocks: bool) -> Any:
    """Document, rows without accuracies, and of each row the index of cell, dataset, seed, condition, strategy."""
    strategies = [RULE, *(f"a{i}" for i in range(alternatives))]
    names = [f"{kind}{i}" for kind in ("fine", "glyph") for i in range(datasets)]
    sizes = [10, 20, 100, 200] if conditions == 4 else [10, 100]
    means = {name: {n: dict.fromkeys(strategies, 0.0) for n in sizes} for name in names}
    networks = ["tiny", "small"] if conditions == 4 else ["tiny"]
    document = samples.document(means, range(seeds), dict.fromkeys(CELLS, RULE), networks)
    rows, at = [], []
    for planned in document["plan"]:
        within = sizes[: len(sizes) // 2] if planned["size"] == "small" else sizes[len(sizes) // 2 :]
        place = within.index(planned["n_per_class"]) * len(networks) + networks.index(planned["backbone"])
        seed = planned["seed"]
        shown = (
            {"seed": seed * conditions + place, "n_per_class": 0, "backbone": networks[0]}
            if as_blocks
            else {}
        )
        rows.append({**planned, **shown, "status": Status.FINISHED, Metric.TRAIN_SECONDS: None})
        dataset = int(planned["dataset"].removeprefix("fine").removeprefix("glyph"))
        at.append((CELLS.index(planned["cell"]), dataset, seed, place, strategies.index(planned["strategy"])))
    return StudyRecord.from_json(document), rows, tuple(np.array(at).T)
