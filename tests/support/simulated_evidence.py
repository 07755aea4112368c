"""Made-up studies to advise from: documents and rows with a planted truth, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.records.study import StudyRecord
from bench.core.schema import Measure, Metric, Status
from tests.support import report_samples as samples

RULE = {
    "similar-small": "linear_probe",
    "similar-large": "full",
    "dissimilar-small": "last_stages",
    "dissimilar-large": "scratch",
}
STRATEGIES = ["full", "linear_probe", "last_stages", "scratch", "lora", "l2_sp"]
PLANTED = {  # cell -> gains over full; in three of the four cells the rule is wrong
    "similar-small": {"linear_probe": 0.08, "lora": 0.03, "scratch": -0.30},
    "similar-large": {"l2_sp": 0.05, "linear_probe": -0.06, "scratch": -0.20},
    "dissimilar-small": {"lora": 0.07, "linear_probe": -0.05, "scratch": -0.04, "last_stages": 0.01},
    "dissimilar-large": {"l2_sp": 0.04, "linear_probe": -0.25, "scratch": -0.05},
}
BEST = {cell: max(gains, key=lambda s: gains[s]) for cell, gains in PLANTED.items()}
BACKBONE = {"label": "net", "name": "test_resnet", "weights": "checkpoint", "content": "0123"}
KEY = "test_resnet (checkpoint 0123)"
Study = tuple[StudyRecord, list[dict[str, Any]]]


def cell_of(dataset: int, n: int) -> str:
    return f"{'similar' if dataset % 2 == 0 else 'dissimilar'}-{'small' if n <= 50 else 'large'}"


def study(
    gains: Mapping[str, Mapping[str, float]],
    datasets: int = 8,
    sizes: tuple[int, ...] = (10, 200),
    seeds: int = 3,
    noise: float = 0.01,
    between: float = 0.0,
    seed: int = 0,
    name: str = "made",
    measured: bool = True,
) -> Study:
    """Even datasets are similar, odd ones not. `gains` by cell; noise: of a run; between: of a condition's gains."""
    rng = np.random.default_rng(seed)
    entries, rows = [], []
    for d in range(datasets):
        near = d % 2 == 0
        measures = []
        for n in sizes:
            probe = (0.75 if near else 0.35) + 0.04 * np.log10(n) + rng.normal(0, 0.03)
            values = {Measure.PROBE: probe, Measure.KNN: probe - 0.03, Measure.LOGME: probe - 0.5}
            measures.append(
                {"backbone": "net", "n_per_class": n, "images": 10 * n, "classes": 10, "values": values}
            )
            cell, level = cell_of(d, n), probe + rng.normal(0, 0.05)
            for strategy in STRATEGIES:
                gain = gains.get(cell, {}).get(strategy, 0.0) + rng.normal(0, between)
                for s in range(seeds):
                    rows.append(row(f"d{d}", n, cell, strategy, s, level + gain + rng.normal(0, noise)))
        similarity = "similar" if near else "dissimilar"
        entry = {"label": f"d{d}", "name": f"synthetic/d{d}", "options": {}, "similarity": similarity}
        entries.append(entry | ({"measures": measures} if measured else {}))
    return document(entries, name), rows


def document(entries: list[dict[str, Any]], name: str = "made") -> StudyRecord:
    content = {
        "name": name,
        "matrix": {"small_at_most": 50, "margin": 0.01, "rule": RULE, "baseline": "full"},
        "datasets": entries,
        "backbones": [BACKBONE],
        "train": {"image_size": 32},
        "strategies": [{"label": s, "freeze": {"name": s}, "lr": [], "regularize": []} for s in STRATEGIES],
        "plan": [],
    }
    return StudyRecord.from_json(content)


def row(
    dataset: str, n: int, cell: str, strategy: str, seed: int, accuracy: float, **more: Any
) -> dict[str, Any]:
    similarity, size = cell.split("-")
    return {
        "dataset": dataset,
        "similarity": similarity,
        "size": size,
        "cell": cell,
        "n_per_class": n,
        "backbone": "net",
        "strategy": strategy,
        "setting": "default",
        "seed": seed,
        "status": Status.FINISHED,
        Metric.TEST_ACCURACY: min(1.0, max(0.0, float(accuracy))),
        Metric.TRAIN_SECONDS: 2.0 if strategy == "linear_probe" else 10.0,
        Metric.PREPARE_SECONDS: None,
        Metric.PEAK_MEMORY: None,
        Metric.TOTAL_SECONDS: 12.0,
        Metric.PARAMS_TOTAL: 1_500_000,
    } | more


def store(uri: str, made: Study, artifacts: Path) -> None:
    """Writes a study and its runs into an MLflow store."""
    content, rows = made
    plan = [{**r, "run_id": f"{r['dataset']}-{r['n_per_class']}-{r['strategy']}-{r['seed']}"} for r in rows]
    runs = [samples.stored(r, r[Metric.TEST_ACCURACY], train_seconds=r[Metric.TRAIN_SECONDS]) for r in plan]
    samples.fill(uri, content.name, content.to_json() | {"plan": plan, "store": uri}, runs, artifacts)
