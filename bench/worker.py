"""The jobs that the driver hands out. Imported (with torch, timm, MLflow) once per fork server, not once per run."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench.errors import Diverged, UserError
from bench.execute import Outcome, execute
from bench.executors.base import Emit
from bench.executors.pool import Stopped
from bench.ingredients import prepare_dataset
from bench.places import Places
from bench.preflight import preflight
from bench.pretrain import pretrain
from bench.schema import Status, Tag
from bench.similarity.measure import measure_dataset, measure_similarity
from bench.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.tracking.plain import Tracking
from bench.tracking.runs import RunLog, Tracker
from bench.tuning.tuning import Tuning


@dataclass(frozen=True)
class Prepared:
    """A decoded dataset, in words."""

    num_classes: int
    smallest_class: int  # images of it in the pool, once duplicates are excluded
    notes: list[str]


def prepare(
    emit: Emit, dataset: DatasetSpec, backbones: Sequence[BackboneSpec], train: TrainSpec, places: Places
) -> Prepared:
    """Decode a dataset at the resolution of each backbone. -> its number of classes, and remarks for the report."""
    for backbone in backbones:
        data = prepare_dataset(dataset, backbone, train.image_size, places)
    counts = data.pool.class_counts(len(data.classes))
    return Prepared(len(data.classes), int(counts.min()), data.notes)


def pretrain_source(emit: Emit, backbone: BackboneSpec, train: TrainSpec, places: Places) -> str:
    """Pretrain a backbone on its source dataset, unless that was done before. -> a remark for the report."""
    return pretrain(backbone, train.image_size, places.base, places.cache).note(backbone)


def measure(emit: Emit, spec: RunSpec, places: Places) -> float:
    """Measure how far a dataset is from the source of a backbone, and keep it in the cache."""
    return measure_similarity(spec, places)


def measure_all(
    emit: Emit,
    dataset: DatasetSpec,
    sizes: Mapping[Any, int],
    backbone: BackboneSpec,
    seed: int,
    image_size: int | None,
    places: Places,
) -> list[dict[str, Any]]:
    """Every measure of transferability of a dataset at each of its sizes, on one backbone; kept in the cache."""
    return measure_dataset(dataset, sizes, backbone, seed, image_size, places)


def check(emit: Emit, specs: Sequence[RunSpec], num_classes: int, places: Places) -> str:
    """Preflight of every strategy on one backbone. -> how the backbone's weights were loaded."""
    torch.manual_seed(0)
    model = None
    for spec in specs:
        model = preflight(spec, num_classes, places, model)
    return model.load_report.table() if model else ""


@lru_cache(maxsize=1)
def _tracker(tracking: Tracking) -> Tracker:
    return Tracker(tracking.uri, tracking.experiment_id)


def run(emit: Emit, spec: RunSpec, row: dict[str, Any], places: Places, tracking: Tracking) -> dict[str, Any]:
    """Execute one planned run and log it. -> status, error and end metrics.

    Only a broken store raises; whatever happens to the run itself is its status.
    """
    log = _tracker(tracking).start(row, spec, tracking.system_metrics)

    def record(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        log.record(epoch, metrics)
        emit(epoch, epochs)

    try:
        outcome = execute(spec, places, record, tracking.checkpoints)
        _keep(outcome, log)
        log.finish(Status.FINISHED, outcome.metrics)
        return {"status": Status.FINISHED, "error": None, "metrics": outcome.metrics}
    except (Stopped, KeyboardInterrupt):  # the latter where the job runs in the driver's own process
        log.finish(Status.KILLED, {}, "stopped by the user")
        raise
    except (Diverged, UserError) as error:
        status = Status.DIVERGED if isinstance(error, Diverged) else Status.FAILED
        log.finish(status, {}, str(error))
        return {"status": status, "error": str(error), "metrics": {}}
    except Exception as error:
        log.text(traceback.format_exc(), "traceback.txt")
        message = f"{type(error).__name__}: {error}"
        log.finish(Status.FAILED, {}, message)
        return {"status": Status.FAILED, "error": message, "metrics": {}}


def search(
    emit: Emit, tuning: Tuning, row: dict[str, Any], places: Places, tracking: Tracking
) -> dict[str, Any]:
    """Search for the knobs of a strategy. -> status, error, metrics and what was chosen."""
    from bench.tuning import search  # imports Optuna

    return search.run(emit, tuning, row, places, tracking)


def _keep(outcome: Outcome, log: RunLog) -> None:
    if outcome.load_table:
        log.text(outcome.load_table, "loaded_weights.txt")
    log.client.set_tag(log.mlflow_run_id, Tag.DEVICE, outcome.device)
    if not outcome.snapshots:
        return
    folder = Path(tempfile.mkdtemp())
    try:
        for name, snapshot in outcome.snapshots.items():
            snapshot.save(folder / name)
        log.folder(folder, "checkpoints")
    finally:
        shutil.rmtree(folder)
