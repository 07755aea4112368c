"""Searches simulated on the tables of `tests.benchmarks.search_tables`, in seconds: tuned minus default test accuracy.

    python -m tests.benchmarks.search_policies [FILE.csv]

A policy sees accuracies on validation images; test accuracy only scores what it chose. The default rate stands at three
places of the grid, half a decade below its middle, in it, and above. A policy's name says its trials and splits: `tpe
12x1` is today's TPE with its random draws rounded to the grid (mean of 50 searches) and the highest accuracy, the others
are the design, with the choice of `bench.tuning.choice` or the highest. Intervals: 95 %, Student t over datasets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from bench.planning.search_space import Searched
from bench.tuning import choice
from bench.tuning.choice import Candidate
from reports.analysis.stats import mean_of

FILE = Path(__file__).with_name("search_tables.csv")
CLASSES = {
    "food3": 3,
    "steel_neu": 6,
    "rps_hands": 3,
    "cats_dogs": 2,
    "sklearn/digits": 10,
    "trashnet": 6,
    "chest_xray_nih": 2,
    "solar_elpv": 2,
    "satellite_rsscn7": 7,
    "synthetic/glyph": 10,
    "bees_pollen": 2,
    "omniglot_alphabets": 8,
    "pacs_art": 7,
}
STEPS = 7
DEFAULTS = (2, 3, 4)
"""Places of the default rate among the seven."""


@dataclass(frozen=True)
class Condition:
    """A strategy on a dataset at a size.

    Attributes:
        val: Accuracies on the validation images of each fold, [rates, folds]; nan: diverged. `nll` likewise.
        test: Accuracies on test images, means over seeds, [rates]; chance for a run that diverged.
        images: Validation images of a fold.
    """

    dataset: str
    n: int
    strategy: str
    val: np.ndarray
    nll: np.ndarray
    test: np.ndarray
    images: int


def conditions(path: Path) -> list[Condition]:
    """Those that the table has in full."""
    table = pd.read_csv(path)
    found = []
    for (_, dataset, n, strategy), rows in table.groupby(
        ["backbone", "dataset", "n", "strategy"], sort=False
    ):
        folds = rows[rows.fold >= 0].pivot(index="step", columns="fold")
        val, nll = folds["accuracy"].to_numpy(), folds["nll"].to_numpy()
        test = rows[rows.fold < 0].pivot(index="step", columns="seed", values="accuracy").to_numpy()
        if val.shape[0] == test.shape[0] == STEPS and val.shape[1] == 3 and test.shape[1] == 2:
            classes = CLASSES[str(dataset)]
            means = np.nan_to_num(test, nan=1 / classes).mean(axis=1)
            images = classes * int(n * 0.2)
            found.append(Condition(str(dataset), int(n), str(strategy), val, nll, means, images))
    return found


Policy = Callable[[Condition, int, np.random.Generator], int]
"""(condition, place of the default, randomness) -> place of the rate that it chooses."""


def random_draws(trials: int) -> Policy:
    """Optuna's TPE in its first ten trials, on one split; the highest accuracy, on a tie the lower NLL."""

    def policy(c: Condition, default: int, rng: np.random.Generator) -> int:
        tried = [default, *np.rint(rng.uniform(0, STEPS - 1, trials - 1)).astype(int)]
        complete = [i for i in tried if not np.isnan(c.val[i, 0])] or [default]
        return int(max(complete, key=lambda i: (c.val[i, 0], -c.nll[i, 0])))

    return policy


def design(trials: int, splits: int, choose: str = "smoothed") -> Policy:
    def policy(c: Condition, default: int, rng: np.random.Generator) -> int:
        nearest = sorted(range(STEPS), key=lambda i: (abs(i - default), i))[:trials]
        found = [
            Candidate(
                number,
                {"lr": 10 ** (i / 2)},
                c.val[i, :splits].mean(),
                c.nll[i, :splits].mean(),
                splits * c.images,
            )
            for number, i in enumerate(nearest)
            if not np.isnan(c.val[i, :splits]).any()
        ]
        rate = Searched("lr", 10 ** (default / 2), 1.0, 10 ** ((STEPS - 1) / 2), True)
        chosen = choice.highest(found) if choose == "highest" else choice.smoothed([rate], found)
        return nearest[chosen.candidate.number]

    return policy


def oracle(c: Condition, default: int, rng: np.random.Generator) -> int:
    return int(c.test.argmax())


POLICIES: dict[str, Policy] = {
    "tpe 6x1": random_draws(6),
    "design 6x1": design(6, 1),
    "design 3x2": design(3, 2),
    "tpe 12x1": random_draws(12),
    "design 6x2, highest": design(6, 2, "highest"),
    "design 4x3": design(4, 3),
    "design 6x2": design(6, 2),
    "best on test": oracle,
}


def gain(policy: Policy, c: Condition, default: int) -> float:
    rng = np.random.default_rng(0)
    return 100 * fmean(c.test[policy(c, default, rng)] - c.test[default] for _ in range(50))


def by_dataset(values: dict[tuple[str, int, str, int], float], **where: object) -> str:
    names = ("dataset", "n", "strategy", "default")
    kept: dict[str, list[float]] = {}
    for key, value in values.items():
        if all(dict(zip(names, key, strict=True))[k] == v for k, v in where.items()):
            kept.setdefault(key[0], []).append(value)
    mean = mean_of([fmean(v) for v in kept.values()])
    return f"{mean.mean:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}]"


def paired_noise(found: Sequence[Condition]) -> float:
    """Variance of a difference in validation accuracy around that in test accuracy, over that of independent images."""
    ratios = []
    for c in found:
        for i, j in [(a, b) for a in range(STEPS) for b in range(max(a - 2, 0), a)]:
            p, truth = (c.test[i] + c.test[j]) / 2, c.test[i] - c.test[j]
            errors = (c.val[i] - c.val[j] - truth) ** 2
            ratios += list(errors[~np.isnan(errors)] / (2 * p * (1 - p) / c.images))
    return float(np.mean(ratios))


def main() -> None:
    found = conditions(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
    strategies = list(dict.fromkeys(c.strategy for c in found))
    print(f"{len(found)} conditions on {len({c.dataset for c in found})} datasets")
    print(f"variance of paired differences over independent ones: {paired_noise(found):.2f}")
    columns: list[dict[str, object]] = [{}, *({"default": d} for d in DEFAULTS)]
    columns += [{"n": n} for n in sorted({c.n for c in found})] + [{"strategy": s} for s in strategies]
    names = ["all", "default low", "middle", "high", *(f"{k} {v}" for c in columns[4:] for k, v in c.items())]
    print(f"| policy | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name, policy in POLICIES.items():
        values = {(c.dataset, c.n, c.strategy, d): gain(policy, c, d) for c in found for d in DEFAULTS}
        print(f"| {name} | {' | '.join(by_dataset(values, **where) for where in columns)} |")


if __name__ == "__main__":
    main()
