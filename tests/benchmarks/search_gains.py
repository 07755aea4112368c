"""What searches are worth by `bench run`: tuned minus default test accuracy, of the defaults of `tune` and of TPE.

    python -m tests.benchmarks.search_gains FOLDER           # run what is missing, and print
    python -m tests.benchmarks.search_gains FOLDER --table   # print alone
    python -m tests.benchmarks.search_gains FOLDER --csv     # the conditions behind it: search_gains.csv beside this file
    python -m tests.benchmarks.search_gains FOLDER --seen    # on the datasets on which the design was revised

Two studies a dataset and pass, in one store in FOLDER, at the same number of trainings: six trials over two splits by the
defaults, and twelve trials on one split by `sampler: tpe` and `choice: highest`. Every strategy with the hyperparameters
that it declares, searched in all ranges that it declares. Real photographs come from the folder that BENCH_TEST_DATA
names (`targets/NAME/{train,test}/CLASS/`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.core.errors import UserError
from bench.core.schema import Metric
from reports import rows
from reports.analysis.stats import mean_of

SEEN = (
    "trashnet",
    "sklearn/digits",
    "chest_xray_nih",
    "satellite_rsscn7",
    "solar_elpv",
    "synthetic/glyph",
    "steel_neu",
    "food3",
    "rps_hands",
    "cats_dogs",
)
"""On which the rules of the design were revised after their results had been seen."""

FRESH = (
    "bees_pollen",
    "omniglot_alphabets",
    "pacs_art",
    "grocery",
    "magnetic_tile",
    "plantvillage",
    "breast_ultrasound",
    "kannada_digits",
)
"""Of which nobody had seen a result when the rules were fixed."""

DATASETS = SEEN if "--seen" in sys.argv else FRESH
STRATEGIES = (
    "linear_probe, last_stages + head_x10",
    "full + head_x10 + keep_norm_stats, full, full + l2_sp",
)
"""In two passes over the datasets, so that an unfinished comparison has many of them."""

SEARCHES = {
    "design": "{trials: 6}",
    "tpe": "{trials: 12, sampler: tpe, splits: 1, choice: highest, untuned: false}",
}
STUDY = """
name: {name}
datasets: [{{name: "{dataset}", similarity: similar, n_per_class: [20, 60]}}]
backbones: [{{name: test_resnet, source: synthetic/source}}]
strategies: [{strategies}]
seeds: 2
train: {{image_size: 32, optimizer: momentum, batch_size: 16, epochs: 3, min_steps: 30, augment: flip, precision: fp32}}
tune: {tune}
system_metrics: false
"""


def study_name(dataset: str, search: str, number: int) -> str:
    return f"{dataset.replace('/', '-')}-{search}-{number}"


def run(folder: Path) -> None:
    data = Path(os.environ["BENCH_TEST_DATA"]).absolute()
    for (number, strategies), dataset in product(enumerate(STRATEGIES), DATASETS):
        path = dataset if "/" in dataset else f"folder:{data / 'targets' / dataset}"
        for search, tune in SEARCHES.items():
            name = study_name(dataset, search, number)
            file = folder / f"{name}.yaml"
            file.write_text(STUDY.format(name=name, dataset=path, strategies=strategies, tune=tune))
            command = [sys.executable, "-m", "bench", "run", file.name, "--workers", "2", "--no-report"]
            subprocess.run(command, cwd=folder, check=True)


Key = tuple[str, int, str]
"""Dataset, images per class, strategy."""


def accuracies(folder: Path, dataset: str, search: str, setting: str) -> dict[Key, float]:
    """Mean test accuracy over seeds, of the conditions where all seeds are there."""
    by_key: dict[Key, list[float | None]] = {}
    for number in range(len(STRATEGIES)):
        for row in _rows(folder, study_name(dataset, search, number)):
            if row["setting"] == setting:
                key = (dataset, row["n_per_class"], row["strategy"])
                by_key.setdefault(key, []).append(_accuracy(row))
    kept = {key: [v for v in values if v is not None] for key, values in by_key.items()}
    return {key: fmean(values) for key, values in kept.items() if len(values) == len(by_key[key])}


def _rows(folder: Path, study: str) -> list[dict[str, Any]]:
    """None where it was not begun."""
    try:
        return rows(study, f"sqlite:///{(folder / 'mlflow.db').absolute()}")
    except UserError:
        return []


def _accuracy(row: dict[str, Any]) -> float | None:
    """A run that diverged knows nothing."""
    return 0.0 if row["status"] == "diverged" else row[Metric.TEST_ACCURACY]


def gains(folder: Path) -> dict[str, dict[Key, float]]:
    """Search -> condition -> tuned minus default, in points; of the conditions that all searches have finished."""
    found: dict[str, dict[Key, float]] = {search: {} for search in SEARCHES}
    for dataset in DATASETS:
        default = accuracies(folder, dataset, "design", "default")
        tuned = {search: accuracies(folder, dataset, search, "tuned") for search in SEARCHES}
        for key in default:
            if all(key in tuned[search] for search in SEARCHES):
                for search in SEARCHES:
                    found[search][key] = 100 * (tuned[search][key] - default[key])
    return found


def summary(values: dict[Key, float]) -> str:
    """Mean and 95 % interval over datasets, whose sizes and strategies are averaged first."""
    by_dataset: dict[str, list[float]] = {}
    for (dataset, _, _), value in values.items():
        by_dataset.setdefault(dataset, []).append(value)
    mean = mean_of([fmean(v) for v in by_dataset.values()])
    return f"{mean.mean:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}]"


def table(folder: Path) -> None:
    found = gains(folder)
    keys = list(found["design"])
    print(f"{len(keys)} conditions on {len({k[0] for k in keys})} datasets")
    lines = {"all": keys}
    lines |= {s: [k for k in keys if k[2] == s] for s in dict.fromkeys(k[2] for k in keys)}
    lines |= {f"n = {n}": [k for k in keys if k[1] == n] for n in dict.fromkeys(k[1] for k in keys)}
    print("| strategy | conditions | tpe | design | design - tpe |\n|---|---|---|---|---|")
    for name, chosen in lines.items():
        values = {search: {k: found[search][k] for k in chosen} for search in SEARCHES}
        values["difference"] = {k: values["design"][k] - values["tpe"][k] for k in chosen}
        cells = [summary(values[c]) for c in ("tpe", "design", "difference")]
        print(f"| {name} | {len(chosen)} | {' | '.join(cells)} |")


def to_csv(folder: Path) -> None:
    found = gains(folder)
    lines = ["dataset,n_per_class,strategy," + ",".join(f"{search}_gain_points" for search in SEARCHES)]
    for key in found["design"]:
        dataset, n, strategy = key
        lines.append(f"{dataset},{n},{strategy}," + ",".join(f"{found[s][key]:.3f}" for s in SEARCHES))
    Path(__file__).with_suffix(".csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True, parents=True)
    if "--csv" in sys.argv:
        to_csv(folder)
        return
    if "--table" not in sys.argv:
        run(folder)
    table(folder)


if __name__ == "__main__":
    main()
