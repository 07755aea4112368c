"""Hand-made studies whose sections and figures several tests look at."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from bench.core.records.runs import RunRecord
from bench.core.records.searches import SearchRecord
from bench.core.schema import Measure, Metric, Purpose, Status, Tag
from reports.analysis.rows import StoredStudy
from tests.support import report_samples as samples

NAMES = ("a", "b")
STRATEGIES = {"linear_probe": 0.70, "last_stages": 0.76, "full": 0.82, "scratch": 0.3}
NETWORK_SETS = {"fine": {10: STRATEGIES}, "glyph": {10: STRATEGIES}}


def two_networks(
    reverse: bool = False, seeds: tuple[int, ...] = (0, 1, 2), noise: float = 0.003
) -> StoredStudy:
    """Two networks; with `reverse`, what is best on a is worst on b."""
    document = samples.document(NETWORK_SETS, seeds=seeds, backbones=NAMES)
    document["matrix"]["baseline"] = "last_stages"
    runs = samples.all_stored(document, NETWORK_SETS, within=noise)
    for planned, run in zip(document["plan"], runs, strict=True):
        if reverse and planned["backbone"] == "b":
            run.metrics[Metric.TEST_ACCURACY] = 1 - run.metrics[Metric.TEST_ACCURACY]
    return samples.joined(document, runs)


DEPTHS = {"none": 0, "two": 2, "four": 4}
DEPTH_ACCURACY = {
    "fine": {10: {label: 0.6 + 0.03 * k for label, k in DEPTHS.items()} | {"scratch": 0.2}},
    "glyph": {10: {label: 0.5 - 0.02 * k for label, k in DEPTHS.items()} | {"scratch": 0.2}},
}


def depths(hyperparameters: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Freezing depths 4, 0 and 2 in the plan's order (so not sorted), and another strategy."""
    made = samples.document(DEPTH_ACCURACY, seeds=(0, 1, 2))
    made["matrix"] |= {"baseline": "none", "rule": {"similar-small": "none", "dissimilar-small": "four"}}
    given = hyperparameters or {label: {"k": k, "lr": 0.001} for label, k in DEPTHS.items()}
    for strategy in made["strategies"]:
        if strategy["label"] in given:
            strategy["freeze"] = {"name": "freeze_first", "hyperparameters": given[strategy["label"]]}
            strategy["lr"] = [{"name": "head_x10", "hyperparameters": {"multiplier": 10.0}}]
            strategy["regularize"] = [{"name": "none", "hyperparameters": {}}]
    made["strategies"].reverse()
    return made


SEEDS = (0, 1, 2, 3)
TUNE = {
    "trials": 4, "seconds": None, "samples_seen": None, "sampler": "tpe", "pruner": "none", "splits": 2,
    "each_seed": False, "refit": True, "untuned": True,
}  # fmt: skip
LOST = 0.06
"""What tuning costs scratch at dissimilar, large: so that the rule holds untuned, and fails tuned."""


def tuned_study() -> tuple[dict[str, Any], list[RunRecord]]:
    """The sample study in both settings: tuning raises full by 5 points and lowers scratch on glyphs."""
    document = samples.document(seeds=SEEDS)
    document["tune"] = TUNE
    tuned = deepcopy(document)
    runs = samples.all_stored(document, within=0.001)
    for row in document["plan"]:
        row["setting"] = "default"
    for row in tuned["plan"]:
        search = f"{row['dataset']}-{row['n_per_class']}-{row['strategy']}"
        row |= {"run_id": f"t-{row['run_id']}", "setting": "tuned", "tuning_id": search}
    changed = []
    for row, run in zip(tuned["plan"], runs, strict=True):
        gain = {"full": 0.05, "scratch": -LOST if row["dataset"] == "glyph" else 0.0}.get(
            row["strategy"], 0.0
        )
        metrics = {**run.metrics, Metric.TEST_ACCURACY: run.metrics[Metric.TEST_ACCURACY] + gain}
        changed.append(replace(run, tags={**run.tags, Tag.RUN_ID: row["run_id"]}, metrics=metrics))
    document["plan"] += tuned["plan"]
    return document, [*runs, *changed, *search_runs(tuned["plan"])]


def search_runs(plan: list[dict[str, Any]]) -> list[RunRecord]:
    """A finished search per tuned condition and strategy, of trials worth .5, .7, a pruned one, and .6."""
    found = []
    for row in {row["tuning_id"]: row for row in plan}.values():
        search = SearchRecord(
            row["tuning_id"],
            "4 trials",
            {"full.lr": 0.02, "l2_sp.alpha": 0.1},
            chosen_trial=1,
            best=0.7,
            default=0.5,
            smoothed=0.66,
            smoothed_default=0.55,
            standard_error=0.05,
            seconds=30.0,
            importances={"full.lr": 0.9, "l2_sp.alpha": 0.1},
        )
        parent = samples.stored({"run_id": row["tuning_id"]}, None, **search.all_metrics())
        parent.tags.update(
            search.tags() | {Tag.PURPOSE: str(Purpose.TUNING), Tag.TUNING_ID: search.tuning_id}
        )
        found.append(parent)
        for number, value in enumerate([0.5, 0.7, None, 0.6]):
            status = Status.PRUNED if value is None else Status.FINISHED
            metrics = {} if value is None else {Metric.VAL_ACCURACY: value}
            trial = samples.stored({"run_id": "-"}, None, status, **metrics)
            trial.tags.update(
                {
                    Tag.PURPOSE: str(Purpose.TRIAL),
                    Tag.PARENT: parent.mlflow_run_id,
                    Tag.TRIAL: str(number),
                }
            )
            found.append(trial)
    return found


NCM_ACCURACY = {"linear_probe": 0.5, "last_stages": 0.3, "full": 0.8, "scratch": 0.95}


def with_ncm(known: bool = True) -> tuple[dict[str, Any], list[RunRecord]]:
    document = samples.document()
    runs = samples.all_stored(document)
    if known:
        for planned, run in zip(document["plan"], runs, strict=True):
            run.metrics[Metric.NCM_TEST_ACCURACY] = NCM_ACCURACY[planned["strategy"]]
    return document, runs


PROBE, FULL, SCRATCH = "linear_probe", "full", "scratch"


def measured_study(datasets: int, measured: bool = True) -> StoredStudy:
    """Datasets whose gains of the probe grow with nearness: LogME rises and the stem's distance falls with them."""
    accuracy = {
        f"d{i}": {
            10: {PROBE: 0.30 + 0.08 * i, FULL: 0.40 + 0.04 * i, SCRATCH: 0.30},
            100: {PROBE: 0.40 + 0.07 * i, FULL: 0.62 + 0.03 * i, SCRATCH: 0.55},
        }
        for i in range(datasets)
    }
    document = samples.document(accuracy, seeds=(0, 1), backbones=["tiny"])
    for i, entry in enumerate(document["datasets"]):
        if measured:
            entry["measures"] = [
                {
                    "backbone": "tiny",
                    "n_per_class": n,
                    "images": 10 * n,
                    "values": {Measure.FRECHET_STEM: 2.0 - 0.2 * i, Measure.LOGME: -0.3 + 0.1 * i},
                    "missing": {Measure.LEEP: "no head"},
                }
                for n in (10, 100)
            ]
    return samples.joined(document, samples.all_stored(document, accuracy, within=0.001))
