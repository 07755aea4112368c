"""Tables to simulate searches on: every rate of a grid tried on three folds and trained for test, for each condition.

    python -m tests.benchmarks.search_tables FILE.csv [BACKBONE ...]

goes on where an earlier call was stopped; `tests.benchmarks.search_policies` reads the file. Real photographs come from
the folder that BENCH_TEST_DATA names (`targets/NAME/{train,test}/CLASS/`, `weights/`), the rest from the product.

A row is one training: fold 0 to 2 on the labelled images of seed 0, judged on the fold's validation images; or, as
fold -1, the run that would be reported, on all labelled images of seeds 0 and 1, judged on test images. What a policy
sees are the folds; test accuracy only says afterwards how good its choice was.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from bench.core.errors import CutShort
from bench.core.spec import RunSpec, StrategySpec
from bench.planning.plan import make
from bench.planning.search_space import with_params
from bench.planning.study import Study
from bench.storage.places import Places, cache_dir
from bench.training.evaluate import score
from bench.training.run.execute import open_test_images
from bench.training.run.prepared_run import prepare_run

DATASETS = [
    "food3",
    "steel_neu",
    "rps_hands",
    "cats_dogs",
    "trashnet",
    "chest_xray_nih",
    "solar_elpv",
    "satellite_rsscn7",
    "synthetic/glyph",
    "bees_pollen",
    "omniglot_alphabets",
    "pacs_art",
]
SIZES = [20, 100]
STRATEGIES = (
    ("linear_probe", "last_stages + head_x10", "full + head_x10 + keep_norm_stats"),
    ("full", "full + llrd"),
)
"""In two passes over the datasets, so that an unfinished table has many of them."""
BACKBONES = {
    "test_resnet": (32, {"source": {"name": "synthetic/source"}}),
    "mobilenetv3_small_050": (64, {"checkpoint": "weights/mobilenetv3_small_050_tiny64.safetensors"}),
}
"""Image size, and where the weights come from: pretrained by the product in a minute, or a file of BENCH_TEST_DATA."""
FOLDS, FINAL_SEEDS = 3, (0, 1)
STEPS = range(-3, 4)
"""Half decades around the middle of the range that a strategy declares for its rate."""
MIDDLE = {"full": 10**-2.5, "last_stages": 10**-2.5, "linear_probe": 10**-1.5}
FIELDS = [
    "backbone",
    "dataset",
    "n",
    "strategy",
    "step",
    "fold",
    "seed",
    "status",
    "accuracy",
    "nll",
    "seconds",
]
KEYS = FIELDS[:7]
TRAIN = {
    "optimizer": "momentum",
    "batch_size": 32,
    "epochs": 3,
    "min_steps": 30,
    "augment": "flip",
    "precision": "fp32",
}


def study(backbone: str, dataset: str, strategies: tuple[str, ...]) -> Study:
    data = Path(os.environ["BENCH_TEST_DATA"])
    name = dataset if "/" in dataset else f"folder:{data / 'targets' / dataset}"
    size, origin = BACKBONES[backbone]
    weights = {k: str(data / v) if isinstance(v, str) else v for k, v in origin.items()}
    return Study.model_validate(
        {
            "name": "search-tables",
            "datasets": [{"name": name, "similarity": "similar", "n_per_class": SIZES}],
            "backbones": [{"name": backbone, **weights}],
            "strategies": list(strategies),
            "seeds": 1,
            "train": {**TRAIN, "image_size": size},
        }
    )


def conditions(backbones: list[str]) -> Iterator[tuple[str, str, RunSpec]]:
    for backbone, strategies, dataset in product(backbones, STRATEGIES, DATASETS):
        plan = make(study(backbone, dataset, strategies), Path.cwd() / "study.yaml", cache_dir())
        for run in plan.runs:
            yield backbone, dataset, run.spec


def at_rate(strategy: StrategySpec, step: int) -> StrategySpec:
    name = strategy.freeze.name
    return with_params(strategy, {f"{name}.lr": MIDDLE[name] * 10 ** (step / 2)})


def trainings(spec: RunSpec) -> Iterator[tuple[int, int, RunSpec]]:
    """(step, fold, spec) of a condition; fold -1 is a final run."""
    for step in STEPS:
        own = replace(spec, strategy=at_rate(spec.strategy, step))
        for fold in range(FOLDS):
            yield step, fold, replace(own, split=fold)
        for seed in FINAL_SEEDS:
            yield step, -1, replace(own, seed=seed, train=replace(own.train, fit="train+val"))


def train(spec: RunSpec, places: Places) -> tuple[str, float, float]:
    """(status, accuracy, NLL): of test images for a final run, else of validation images."""
    run = prepare_run(spec, places, lambda epoch, epochs, metrics: None, "none")
    try:
        run.train()
    except CutShort:
        return "diverged", float("nan"), float("nan")
    images = open_test_images(run.prepared) if spec.train.fit == "train+val" else run.trainer.task.val
    found = score(run.trainer.predict(images), images.y)
    return "finished", found.accuracy, found.nll


def main() -> None:
    torch.set_num_threads(1)
    path, backbones = Path(sys.argv[1]), sys.argv[2:] or list(BACKBONES)
    done = set()
    if path.exists():
        with path.open() as file:
            done = {tuple(row[k] for k in KEYS) for row in csv.DictReader(file)}
    places = Places(Path.cwd(), cache_dir())
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(FIELDS)
        for backbone, dataset, spec in conditions(backbones):
            for step, fold, own in trainings(spec):
                key = (backbone, dataset, spec.n_per_class, spec.strategy.label, step, fold, own.seed)
                if tuple(map(str, key)) in done:
                    continue
                start = time.perf_counter()
                status, accuracy, nll = train(own, places)
                seconds = time.perf_counter() - start
                writer.writerow([*key, status, f"{accuracy:.4f}", f"{nll:.4f}", f"{seconds:.2f}"])
                file.flush()


if __name__ == "__main__":
    main()
