"""What the predictions of a few strategies tell beyond their accuracies: by test image, by class, by confidence.

A study may have 10,000 runs: only the files of the strategies that are shown are read, and no more than `MOST`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.errors import UserError
from bench.core.records.predictions import Predictions
from reports.analysis.calibration import ece, recalibrated
from reports.analysis.confusions import HardClass, Read, hardest, of
from reports.analysis.crossed import Crossed, crossed
from reports.analysis.mcnemar import McNemar, of_right
from reports.analysis.predictions import keeping, read
from reports.analysis.rows import Row, StoredStudy, finished
from reports.analysis.verdict import Cell

MOST = 1000
"""Files of predictions that are read for a report: seconds from a disk, a quarter of a minute over a server."""

ALTERNATIVES = 3
"""Of each cell: those with the largest mean difference from the rule's pick."""

Condition = tuple[int, str]
Right = dict[str, dict[Condition, dict[int, np.ndarray]]]
"""Dataset -> condition -> seed -> [N] bool."""


@dataclass(frozen=True)
class Difference:
    """strategy minus reference in a cell. single: of two single networks, where there is one seed and one condition."""

    cell: str
    strategy: str
    reference: str
    found: Crossed
    single: McNemar | None


@dataclass(frozen=True)
class Calibration:
    """Of a strategy in a cell: means over its runs."""

    cell: str
    strategy: str
    runs: int
    ece: float
    recalibrated: float


@dataclass(frozen=True)
class Wanted:
    """The rows whose predictions are read. left_out: pairs of cell and alternative for which `MOST` has no room."""

    pairs: list[tuple[Cell, str]]
    rows: list[Row]
    left_out: int


def wanted(study: StoredStudy, rows: Sequence[Row], cells: Sequence[Cell], most: int = MOST) -> Wanted:
    """The alternatives nearest to, or above, the rule's pick, in turn over the cells."""
    kept = keeping(study)
    runs: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in finished(rows):
        if row["mlflow_run_id"] in kept:
            runs[row["cell"], row["strategy"]].append(row)
    ranked = [
        (place, cell, c.strategy)
        for cell in cells
        for place, c in enumerate(sorted(cell.comparisons, key=lambda c: -c.mean if c.n else 1.0))
        if place < ALTERNATIVES and runs[cell.name, c.strategy] and runs[cell.name, cell.rule or ""]
    ]
    chosen: dict[tuple[str, str], list[Row]] = {}
    pairs, left_out = [], 0
    for _, cell, strategy in sorted(ranked, key=lambda one: one[0]):
        more = {key: runs[key] for key in ((cell.name, strategy), (cell.name, cell.rule or ""))}
        if sum(map(len, (chosen | more).values())) > most:
            left_out += 1
            continue
        chosen |= more
        pairs.append((cell, strategy))
    order = {cell.name: place for place, cell in enumerate(cells)}
    pairs.sort(key=lambda pair: order[pair[0].name])
    return Wanted(pairs, [row for found in chosen.values() for row in found], left_out)


@dataclass(frozen=True)
class TestImages:
    """All that the section shows. unreadable: what is wrong with files that could not be read."""

    differences: list[Difference]
    classes: list[HardClass]
    calibration: list[Calibration]
    left_out: int
    read: int
    unreadable: list[str]


def look(study: StoredStudy, rows: Sequence[Row], cells: Sequence[Cell]) -> TestImages:
    """Read the predictions, and compare."""
    asked = wanted(study, rows, cells)
    found = read(study, asked.rows)
    good = {key: one for key, one in found.items() if isinstance(one, Predictions)}
    own = [(row, good[key]) for row in asked.rows if (key := row["mlflow_run_id"] or "") in good]
    pairs = [difference(cell, strategy, cell.rule or "", own) for cell, strategy in asked.pairs]
    leading = {cell.name: (cell.rule, cell.best) for cell, _ in asked.pairs}
    classes = [hard for name, both in leading.items() for hard in hardest(name, *both, own)]
    calibration = [
        one
        for name, both in leading.items()
        for strategy in dict.fromkeys(both)
        if strategy and (one := calibrated(name, strategy, own))
    ]
    wrong = [str(one) for one in found.values() if isinstance(one, UserError)]
    differences = [pair for pair in pairs if pair]
    return TestImages(differences, classes, calibration, asked.left_out, len(good), wrong)


def difference(cell: Cell, strategy: str, reference: str, found: Read) -> Difference | None:
    """Over the seeds and conditions that both have; None where there is none."""
    own, other = (_right(cell.name, name, found) for name in (strategy, reference))
    complete: dict[str, dict[int, list[np.ndarray]]] = {}
    for dataset in own.keys() & other.keys():
        shared = own[dataset].keys() & other[dataset].keys()
        complete[dataset] = _paired([(own[dataset][c], other[dataset][c]) for c in sorted(shared)])
    complete = {dataset: by_seed for dataset, by_seed in sorted(complete.items()) if by_seed}
    seeds = sorted(set.intersection(*map(set, complete.values()))) if complete else []
    if not seeds:
        return None
    arrays = [np.stack([np.mean(by[seed], axis=0) for seed in seeds]) for by in complete.values()]
    single = None
    if len(seeds) == 1 and len(arrays) == 1 and len(next(iter(complete.values()))[seeds[0]]) == 1:
        d = arrays[0][0]
        single = of_right(d > 0, d < 0)
    return Difference(cell.name, strategy, reference, crossed(arrays), single)


def _paired(
    conditions: list[tuple[dict[int, np.ndarray], dict[int, np.ndarray]]],
) -> dict[int, list[np.ndarray]]:
    """Of each seed that is complete, the differences [N] of each condition."""
    seeds = [own.keys() & other.keys() for own, other in conditions]
    wanted = [i for i, both in enumerate(seeds) if both]
    complete = set.intersection(*(seeds[i] for i in wanted)) if wanted else set()
    return {
        seed: [conditions[i][0][seed].astype(float) - conditions[i][1][seed] for i in wanted]
        for seed in complete
    }


def _right(cell: str, strategy: str, found: Read) -> Right:
    """Of one test set a dataset: the most frequent one."""
    sets: dict[str, Counter[str]] = defaultdict(Counter)
    for row, predictions in found:
        sets[row["dataset"]][predictions.test_set] += 1
    right: Right = defaultdict(lambda: defaultdict(dict))
    for row, predictions in of(cell, strategy, found):
        if predictions.test_set == sets[row["dataset"]].most_common(1)[0][0]:
            right[row["dataset"]][row["n_per_class"], row["backbone"]][row["seed"]] = predictions.right
    return right


def calibrated(cell: str, strategy: str, found: Read) -> Calibration | None:
    """None without runs."""
    own = [one for _, one in of(cell, strategy, found)]
    if not own:
        return None
    before = [ece(one.probability, one.right) for one in own]
    after = [ece(recalibrated(one), one.right) for one in own]
    return Calibration(cell, strategy, len(own), float(np.mean(before)), float(np.mean(after)))
