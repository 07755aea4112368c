"""Studies with documents of real plans, and stored runs with hand-made numbers like those of the synthetic datasets."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.planning import compose, plan
from bench.planning.study import Study
from reports.analysis.rows import StoredStudy, join
from reports.analysis.study import Analysis
from reports.render.blocks import Block
from reports.render.markdown import to_markdown

RULE = {
    "similar-small": "linear_probe",
    "similar-large": "full",
    "dissimilar-small": "last_stages",
    "dissimilar-large": "scratch",
}
ACCURACY = {  # dataset -> n -> strategy -> mean test accuracy
    "fine": {
        10: {"linear_probe": 0.753, "last_stages": 0.749, "full": 0.720, "scratch": 0.161},
        200: {"linear_probe": 0.870, "last_stages": 0.892, "full": 0.935, "scratch": 0.850},
    },
    "glyph": {
        10: {"linear_probe": 0.268, "last_stages": 0.284, "full": 0.302, "scratch": 0.267},
        200: {"linear_probe": 0.428, "last_stages": 0.473, "full": 0.780, "scratch": 0.779},
    },
}
NETWORKS = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")
SPARE = [
    f"{freeze} + {policy}"
    for freeze in ("full", "norm_only", "bitfit", "gradual", "staged", "surgical", "lp_ft")
    for policy in ("head_x10", "llrd", "tenth")
]
"""Compositions for labels that are none."""
SECONDS = {"linear_probe": 0.3, "last_stages": 1.4, "full": 3.4, "scratch": 3.5}
MLFLOW_STATUS = {Status.FAILED: "FAILED", Status.KILLED: "KILLED", Status.RUNNING: "RUNNING"}


@dataclass(frozen=True)
class Store:
    """A real SQLite store with one study "sample", and what was put into it."""

    uri: str
    name: str
    document: dict[str, Any]
    runs: list[RunRecord]


def document(
    accuracy: Mapping[str, Mapping[int, Mapping[str, float]]] = ACCURACY,
    seeds: Sequence[int] = (0, 1, 2),
    rule: Mapping[str, str | None] = RULE,
    backbones: Sequence[str] = ("tiny",),
) -> dict[str, Any]:
    """The document of a study, from its plan, as `bench` stores it.

    accuracy: dataset -> images per class -> strategy; datasets named "glyph..." are dissimilar, n > 50 is large. Labels of
    strategies that are compositions stand for these, others for some composition of their own.
    """
    labels = list(dict.fromkeys(s for by_n in accuracy.values() for found in by_n.values() for s in found))
    study = Study.model_validate(
        {
            "name": "sample",
            "question": "Does the textbook's decision matrix hold?",
            "datasets": [_dataset(i, name, list(by_n)) for i, (name, by_n) in enumerate(accuracy.items())],
            "backbones": [
                {"name": name, "random": True, "label": label}
                for name, label in zip(NETWORKS, backbones, strict=False)
            ],
            "strategies": [{"use": use, "label": label} for label, use in _compositions(labels).items()],
            "seeds": list(seeds),
            "train": {"epochs": 10, "precision": "fp32", "image_size": 32},
            "matrix": {"small_at_most": 50, "margin": 0.01},
        }
    )
    made = plan.make(study, Path("sample.yaml"), Path("no cache")).document().to_json()
    made["plan"] = [
        row for row in made["plan"] if row["strategy"] in accuracy[row["dataset"]][row["n_per_class"]]
    ]
    made["matrix"]["rule"] = dict(rule)  # a test may ask for what a study file cannot
    made["left_out"] = [_meaningless("linear_probe + l2_sp")]
    for entry in made["datasets"]:
        entry["notes"] = ["3 duplicate images across splits"] if entry["label"] == "glyph" else []
    for entry in made["backbones"]:
        entry["notes"] = ["pretrained here"]
    made |= {
        "command": "bench run studies/sample.yaml",
        "store": "sqlite:///mlflow.db",
        "git_commit": "0123abc",
    }
    stored: dict[str, Any] = json.loads(json.dumps(made))
    return stored


def _dataset(i: int, label: str, sizes: list[int]) -> dict[str, Any]:
    dissimilar = label.startswith("glyph")
    return {
        "name": "synthetic/glyph" if dissimilar else "synthetic/fine",
        "label": label,
        "options": {"pool_per_class": max(sizes), "test_per_class": 5 + i},  # no two datasets are the same
        "similarity": "dissimilar" if dissimilar else "similar",
        "n_per_class": sizes,
    }


def _compositions(labels: Sequence[str]) -> dict[str, str]:
    spare = (use for use in SPARE if use not in labels)
    return {label: label if _is_composition(label) else next(spare) for label in labels}


def _is_composition(label: str) -> bool:
    try:
        compose.parse(label, {})
    except UserError:
        return False
    return True


def _meaningless(expression: str) -> dict[str, str]:
    """As a grid's document has it."""
    try:
        compose.parse(expression, {})
    except compose.Meaningless as refused:
        return {"label": refused.label, "reason": refused.reason}
    raise AssertionError(f"{expression} has become meaningful")


NAMED = ("dataset", "n_per_class", "backbone", "strategy", "seed")
"""What a stored run is named by."""


def stored(
    planned: Mapping[str, Any],
    accuracy: float | None,
    status: Status = Status.FINISHED,
    start: int = 0,
    error: str | None = None,
    **metrics: float,
) -> RunRecord:
    """A stored run of a plan row, as `bench.tracking.store.read_runs` gives it."""
    tags = {
        Tag.RUN_ID: planned["run_id"],
        Tag.STATUS: str(status),
        Tag.PURPOSE: str(Purpose.FINAL),
        Tag.DEVICE: "cpu",
        Tag.VERSIONS: '{"torch": "2.13.0", "timm": "1.0.31"}',
        Tag.GIT_COMMIT: "0123abc",
        **({Tag.ERROR: error} if error else {}),
    }
    found = {Metric.TEST_ACCURACY: accuracy} if accuracy is not None else {}
    return RunRecord(
        f"m-{planned['run_id']}-{start}",
        "-".join(str(planned[key]) for key in NAMED if key in planned),
        MLFLOW_STATUS.get(status, "FINISHED"),
        start,
        start + 1000,
        "",
        tags,
        {"lr": "0.01"},
        {**found, **metrics},
    )


def all_stored(
    study: Mapping[str, Any],
    accuracy: Mapping[str, Mapping[int, Mapping[str, float]]] = ACCURACY,
    between: float = 0.02,
    within: float = 0.003,
) -> list[RunRecord]:
    """One finished run per plan row: mean + the block's draw (sd `between`) + its own (sd `within`)."""
    draw = random.Random(0)
    block: dict[tuple[Any, ...], float] = {}
    values: dict[str, tuple[float, float]] = {}
    for planned in sorted(study["plan"], key=lambda row: place(study, row)):
        dataset, n, strategy = planned["dataset"], planned["n_per_class"], planned["strategy"]
        shift = block.setdefault((dataset, n, planned["backbone"], planned["seed"]), draw.gauss(0, between))
        value = accuracy[dataset][n][strategy] + shift + draw.gauss(0, within)
        values[planned["run_id"]] = value, SECONDS.get(strategy, 2.0) * (1 + n / 100) * draw.uniform(0.9, 1.1)
    return [_finished(planned, *values[planned["run_id"]], i) for i, planned in enumerate(study["plan"])]


def place(study: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[int, ...]:
    """Of a planned run, with the seeds of a strategy side by side."""
    labels = {kind: [one["label"] for one in study[f"{kind}s"]] for kind in ("dataset", "backbone")}
    strategies = [one["label"] for one in study["strategies"]]
    return (
        labels["dataset"].index(row["dataset"]),
        row["n_per_class"],
        labels["backbone"].index(row["backbone"]),
        strategies.index(row["strategy"]),
        row["seed"],
    )


def _finished(planned: Mapping[str, Any], value: float, seconds: float, start: int) -> RunRecord:
    metrics = {
        Metric.VAL_ACCURACY: value - 0.01,
        Metric.TRAIN_SECONDS: seconds,
        Metric.PEAK_MEMORY: 6e8 + 1e6 * planned["n_per_class"],
        Metric.PARAMS_TRAINABLE: 650 if planned["strategy"] == "linear_probe" else 4e5,
    }
    return stored(planned, min(max(value, 0.0), 1.0), start=start, **metrics)


def fill(
    uri: str, name: str, study: Mapping[str, Any], runs: Sequence[RunRecord], artifacts: Path | None
) -> None:
    """Write the study and its runs into an MLflow store, as `bench.tracking` does: tags, params, one batch.

    artifacts: their folder; None: where the store has them.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric as Point
    from mlflow.entities import Param, RunTag

    client = MlflowClient(uri)
    experiment = client.create_experiment(name, artifact_location=artifacts.as_uri() if artifacts else None)
    parent = client.create_run(experiment, tags={Tag.PURPOSE: str(Purpose.STUDY)}, run_name="study")
    client.log_text(parent.info.run_id, json.dumps(study), "study.json")
    client.set_terminated(parent.info.run_id)
    for run in runs:
        made = client.create_run(experiment, start_time=run.start_time + 1, run_name=run.name)
        client.log_batch(
            made.info.run_id,
            [Point(key, value, 0, 0) for key, value in run.metrics.items()],
            [Param(key, value) for key, value in run.params.items()],
            [RunTag(key, value) for key, value in run.tags.items()],
        )
        if run.mlflow_status != "RUNNING":
            client.set_terminated(made.info.run_id, status=run.mlflow_status, end_time=run.end_time + 1)


def untidy(study: dict[str, Any]) -> list[RunRecord]:
    """All runs, and what an eventful study leaves: a killed leftover, a retry, a divergence, a trial."""
    runs = all_stored(study)
    first, second, third = study["plan"][:3]
    trial = stored(first, 0.999, start=904)
    trial.tags["purpose"] = "tune"
    return [
        *(run for run in runs if run.tags["bench.run_id"] != third["run_id"]),
        stored(first, None, Status.KILLED, start=900),
        stored(second, None, Status.FAILED, start=901, error="RuntimeError: out of memory"),
        stored(third, float("nan"), Status.DIVERGED, start=902, error="loss is nan at step 7"),
        trial,
    ]


def joined(study: dict[str, Any], runs: Sequence[RunRecord]) -> StoredStudy:
    """The study of this document with these runs, as a report reads them."""
    return join(StudyRecord.from_json(study), runs)


def analysis(study: dict[str, Any], runs: Sequence[RunRecord] | None = None) -> Analysis:
    """What sections are made from; by default of a study that has finished."""
    return Analysis(joined(study, all_stored(study) if runs is None else runs), "sample")


def text_of(section: Callable[[Analysis], list[Block]], study: Analysis) -> str:
    """A section as markdown, its figures named and not drawn."""
    return to_markdown(section(study))
