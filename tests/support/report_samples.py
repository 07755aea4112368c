"""Hand-made studies: documents and stored runs with numbers like those of the synthetic datasets, no training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.schema import Metric, Purpose, Status, Tag
from reports.analysis.rows import join
from reports.analysis.study import Analysis
from reports.render.blocks import Block
from reports.render.markdown import to_markdown

RULE = {
    "similar-small": "linear_probe",
    "similar-large": "full",
    "dissimilar-small": "freeze_most",
    "dissimilar-large": "scratch",
}
ACCURACY = {  # dataset -> n -> strategy -> mean test accuracy
    "fine": {
        10: {"linear_probe": 0.753, "freeze_most": 0.749, "full": 0.720, "scratch": 0.161},
        200: {"linear_probe": 0.870, "freeze_most": 0.892, "full": 0.935, "scratch": 0.850},
    },
    "glyph": {
        10: {"linear_probe": 0.268, "freeze_most": 0.284, "full": 0.302, "scratch": 0.267},
        200: {"linear_probe": 0.428, "freeze_most": 0.473, "full": 0.780, "scratch": 0.779},
    },
}
SECONDS = {"linear_probe": 0.3, "freeze_most": 1.4, "full": 3.4, "scratch": 3.5}
MLFLOW_STATUS = {Status.FAILED: "FAILED", Status.KILLED: "KILLED", Status.RUNNING: "RUNNING"}


@dataclass(frozen=True)
class Store:
    """A real SQLite store with one study "sample", and what was put into it."""

    uri: str
    name: str
    document: dict[str, Any]
    runs: list[dict[str, Any]]


def document(
    accuracy: Mapping[str, Mapping[int, Mapping[str, float]]] = ACCURACY,
    seeds: Sequence[int] = (0, 1, 2),
    rule: Mapping[str, str | None] = RULE,
    backbones: Sequence[str] = ("tiny",),
) -> dict[str, Any]:
    """A study document as `bench` stores it; datasets named "glyph..." are dissimilar, n > 50 is large."""
    strategies = list(
        dict.fromkeys(s for by_n in accuracy.values() for found in by_n.values() for s in found)
    )
    plan = [
        _planned(dataset, n, backbone, strategy, seed)
        for dataset, by_n in accuracy.items()
        for n, found in by_n.items()
        for backbone in backbones
        for strategy in found
        for seed in seeds
    ]
    return {
        "name": "sample",
        "question": "Does the textbook's decision matrix hold?",
        "command": "bench run studies/sample.yaml",
        "store": "sqlite:///mlflow.db",
        "git_commit": "0123abc",
        "matrix": {"small_at_most": 50, "margin": 0.01, "rule": dict(rule)},
        "datasets": [
            {
                "label": name,
                "name": f"synthetic/{name}",
                "options": {},
                "similarity": _similarity(name),
                "n_per_class": list(by_n),
                "notes": ["3 duplicate images across splits"] if name == "glyph" else [],
            }
            for name, by_n in accuracy.items()
        ],
        "backbones": [
            {"label": label, "name": "test_resnet", "weights": "source", "notes": ["pretrained here"]}
            for label in backbones
        ],
        "strategies": [
            {
                "label": label,
                "freeze": {"name": label, "hyperparameters": {}},
                "lr": [{"name": "constant", "hyperparameters": {"lr": 0.01}}],
                "regularize": [],
            }
            for label in strategies
        ],
        "left_out": [{"label": "linear_probe + l2_sp", "reason": "the penalty acts on frozen weights only"}],
        "seeds": list(seeds),
        "train": {"epochs": 10, "batch_size": 32, "optimizer": "sgd", "val_share": 0.2, "evaluate": "last"},
        "plan": plan,
    }


def _similarity(dataset: str) -> str:
    return "dissimilar" if dataset.startswith("glyph") else "similar"


def _planned(dataset: str, n: int, backbone: str, strategy: str, seed: int) -> dict[str, Any]:
    similarity, size = _similarity(dataset), "small" if n <= 50 else "large"
    return {
        "run_id": f"{dataset}-{n}-{backbone}-{strategy}-{seed}",
        "dataset": dataset,
        "similarity": similarity,
        "size": size,
        "cell": f"{similarity}-{size}",
        "n_per_class": n,
        "backbone": backbone,
        "strategy": strategy,
        "seed": seed,
    }


def stored(
    planned: Mapping[str, Any],
    accuracy: float | None,
    status: Status = Status.FINISHED,
    start: int = 0,
    error: str | None = None,
    **metrics: float,
) -> dict[str, Any]:
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
    return {
        "mlflow_run_id": f"m-{planned['run_id']}-{start}",
        "name": planned["run_id"],
        "status": MLFLOW_STATUS.get(status, "FINISHED"),
        "start_time": start,
        "end_time": start + 1000,
        "artifact_uri": "",
        "tags": tags,
        "params": {"lr": "0.01"},
        "metrics": {**found, **metrics},
    }


def all_stored(
    study: Mapping[str, Any],
    accuracy: Mapping[str, Mapping[int, Mapping[str, float]]] = ACCURACY,
    between: float = 0.02,
    within: float = 0.003,
) -> list[dict[str, Any]]:
    """One finished run per plan row: mean + the block's draw (sd `between`) + its own (sd `within`)."""
    draw = random.Random(0)
    block: dict[tuple[Any, ...], float] = {}
    runs = []
    for planned in study["plan"]:
        dataset, n, strategy = planned["dataset"], planned["n_per_class"], planned["strategy"]
        shift = block.setdefault((dataset, n, planned["backbone"], planned["seed"]), draw.gauss(0, between))
        value = accuracy[dataset][n][strategy] + shift + draw.gauss(0, within)
        cost = SECONDS.get(strategy, 2.0) * (1 + n / 100) * draw.uniform(0.9, 1.1)
        metrics = {
            Metric.VAL_ACCURACY: value - 0.01,
            Metric.TRAIN_SECONDS: cost,
            Metric.PEAK_MEMORY: 6e8 + 1e6 * n,
            Metric.PARAMS_TRAINABLE: 650 if strategy == "linear_probe" else 4e5,
        }
        runs.append(stored(planned, min(max(value, 0.0), 1.0), start=len(runs), **metrics))
    return runs


def fill(
    uri: str, name: str, study: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], artifacts: Path
) -> None:
    """Write the study and its runs into an MLflow store, as `bench.track` does: tags, params, one batch."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric as Point
    from mlflow.entities import Param, RunTag

    client = MlflowClient(uri)
    experiment = client.create_experiment(name, artifact_location=artifacts.as_uri())
    parent = client.create_run(experiment, tags={Tag.PURPOSE: str(Purpose.STUDY)}, run_name="study")
    client.log_text(parent.info.run_id, json.dumps(study), "study.json")
    client.set_terminated(parent.info.run_id)
    for run in runs:
        made = client.create_run(experiment, start_time=run["start_time"] + 1, run_name=run["name"])
        client.log_batch(
            made.info.run_id,
            [Point(key, value, 0, 0) for key, value in run["metrics"].items()],
            [Param(key, value) for key, value in run["params"].items()],
            [RunTag(key, value) for key, value in run["tags"].items()],
        )
        if run["status"] != "RUNNING":
            client.set_terminated(made.info.run_id, status=run["status"], end_time=run["end_time"] + 1)


def untidy(study: dict[str, Any]) -> list[dict[str, Any]]:
    """All runs, and what an eventful study leaves: a killed leftover, a retry, a divergence, a trial."""
    runs = all_stored(study)
    first, second, third = study["plan"][:3]
    trial = stored(first, 0.999, start=904)
    trial["tags"]["purpose"] = "tune"
    return [
        *(run for run in runs if run["tags"]["bench.run_id"] != third["run_id"]),
        stored(first, None, Status.KILLED, start=900),
        stored(second, None, Status.FAILED, start=901, error="RuntimeError: out of memory"),
        stored(third, float("nan"), Status.DIVERGED, start=902, error="loss is nan at step 7"),
        trial,
    ]


def analysis(study: dict[str, Any], runs: Sequence[dict[str, Any]] | None = None) -> Analysis:
    """What sections are made from; by default of a study that has finished."""
    return Analysis(join(study, all_stored(study) if runs is None else runs), "sample")


def text_of(section: Callable[[Analysis], list[Block]], study: Analysis) -> str:
    """A section as markdown, its figures named and not drawn."""
    return to_markdown(section(study))
