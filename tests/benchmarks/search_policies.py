"""Searches simulated on the tables of `tests.benchmarks.search_tables`, in a minute: tuned minus default test accuracy.

    python -m tests.benchmarks.search_policies [FILE.csv]

A policy sees accuracies on validation images; test accuracy only scores what it chose. The default rate stands at three
places of the grid: half a decade below its middle, in it, and above. Two tables: on the validation accuracies that were
measured, of which a condition has one set; and on many sets that are redrawn around the condition's test accuracies,
with the noise of as many images and `PAIRED` of its differences.

A policy's name says its trials and splits. `tpe` is Optuna's TPE where all of its trials are random draws, rounded to
the grid, and the highest accuracy is chosen; the others are the design, with the choice of `bench.tuning.choice`, or the
highest where they say so. Intervals: 95 %, Student t over datasets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
SEARCHES = 50
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

    backbone: str
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
    for (backbone, dataset, n, strategy), rows in table.groupby(
        ["backbone", "dataset", "n", "strategy"], sort=False
    ):
        folds = rows[rows.fold >= 0].pivot(index="step", columns="fold")
        val, nll = folds["accuracy"].to_numpy(), folds["nll"].to_numpy()
        test = rows[rows.fold < 0].pivot(index="step", columns="seed", values="accuracy").to_numpy()
        if val.shape[0] == test.shape[0] == STEPS and val.shape[1] == 3 and test.shape[1] == 2:
            classes = CLASSES[str(dataset)]
            means = np.nan_to_num(test, nan=1 / classes).mean(axis=1)
            images = classes * int(n * 0.2)
            found.append(
                Condition(str(backbone), str(dataset), int(n), str(strategy), val, nll, means, images)
            )
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
    "design 6x2": design(6, 2),
    "design 4x3": design(4, 3),
    "best on test": oracle,
}


def smoothed_test(c: Condition) -> np.ndarray:
    """Test accuracies [rates] without some of their own noise, but for rates at which training diverges."""
    padded = np.pad(c.test, 1, mode="edge")
    means = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.where(np.isnan(c.val).any(axis=1), c.test, means)


def redrawn(c: Condition, rng: np.random.Generator) -> Condition:
    """The condition with other validation images: what settings share of their luck, and what each has of its own."""
    p, shape = c.test, c.val.shape
    variance = p * (1 - p) / c.images
    shared = rng.normal(size=(1, shape[1])) * np.sqrt((1 - choice.PAIRED) * variance.mean())
    own = rng.normal(size=shape) * np.sqrt(choice.PAIRED * variance)[:, None]
    val = np.clip(np.round((p[:, None] + shared + own) * c.images) / c.images, 0, 1)
    diverged = np.isnan(c.val).any(axis=1, keepdims=True)
    return replace(c, val=np.where(diverged, np.nan, val), nll=1 + 0.01 * rng.random(shape))


def gain(policy: Policy, c: Condition, default: int, redraw: bool) -> float:
    """Mean over searches, in points."""
    rng = np.random.default_rng(0)
    seen = replace(c, test=smoothed_test(c)) if redraw else c
    gains = []
    for _ in range(SEARCHES):
        chosen = policy(redrawn(seen, rng) if redraw else seen, default, rng)
        gains.append(seen.test[chosen] - seen.test[default])
    return 100 * fmean(gains)


Key = tuple[str, str, int, str, int]
"""Backbone, dataset, images per class, strategy, place of the default."""


def by_dataset(values: dict[Key, float], **where: object) -> str:
    names = ("backbone", "dataset", "n", "strategy", "default")
    kept: dict[str, list[float]] = {}
    for key, value in values.items():
        if all(dict(zip(names, key, strict=True))[k] == v for k, v in where.items()):
            kept.setdefault(key[1], []).append(value)
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


def table(found: Sequence[Condition], redraw: bool) -> None:
    strategies = list(dict.fromkeys(c.strategy for c in found))
    columns: list[dict[str, object]] = [{}, *({"default": d} for d in DEFAULTS)]
    columns += [{"n": n} for n in sorted({c.n for c in found})] + [{"strategy": s} for s in strategies]
    names = ["all", "default low", "middle", "high", *(f"{k} {v}" for c in columns[4:] for k, v in c.items())]
    print(f"\n| policy | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name, policy in POLICIES.items():
        values = {
            (c.backbone, c.dataset, c.n, c.strategy, d): gain(policy, c, d, redraw)
            for c in found
            for d in DEFAULTS
            if not np.isnan(c.val[d]).any()
        }
        print(f"| {name} | {' | '.join(by_dataset(values, **where) for where in columns)} |")


def main() -> None:
    found = conditions(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
    print(f"{len(found)} conditions on {len({c.dataset for c in found})} datasets")
    print(f"variance of paired differences over independent ones: {paired_noise(found):.2f}")
    for redraw in (False, True):
        table(found, redraw)


if __name__ == "__main__":
    main()
