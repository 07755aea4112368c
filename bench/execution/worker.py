"""The jobs that the driver hands out. Imported (with torch, timm, MLflow) once per fork server, not once per run."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench.core.collapse import NOT_COLLAPSED, collapsed
from bench.core.errors import Diverged, NeedsWeights, StoreAway, UserError, all_of
from bench.core.jobs import STOPS, Emit
from bench.core.records.measures import MeasuresRecord
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.schema import ARTIFACT_PREDICTIONS, Status, Tag
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.data.summary import Summary
from bench.execution.failures import Checked
from bench.models import build
from bench.planning.precision import Key, Timing
from bench.planning.searches import Tuning
from bench.similarity.measure import measure_dataset, measure_similarity
from bench.storage.files import room_for
from bench.storage.places import Places
from bench.tracking import store
from bench.tracking.log import RunLog
from bench.tracking.plain import Tracking
from bench.tracking.runs import Tracker
from bench.tracking.store import outcome, patience
from bench.training import precision_timing
from bench.training.epochs import Record
from bench.training.heads.conditions import NotVectorizable
from bench.training.run import execute as execution
from bench.training.run.execute import execute
from bench.training.run.ingredients import prepare_dataset
from bench.training.run.preflight import preflight, usable_model
from bench.training.run.prepared_run import Outcome
from bench.training.run.pretrain import as_published, pretrain
from bench.training.run.pretrain import prepare_source as decode_source
from bench.training.run.together import Together, gather


def ready(emit: Emit) -> None:
    """Nothing: a worker that does it has imported what jobs need."""


def prepare(
    emit: Emit, dataset: DatasetSpec, backbones: Sequence[BackboneSpec], train: TrainSpec, places: Places
) -> Summary:
    """Decode a dataset at the resolution of each backbone. -> its number of classes, and remarks for the report.

    The weights of none need be made yet.
    """
    for backbone in backbones:
        own = as_published(backbone, train.image_size)
        data = prepare_dataset(dataset, own, train.image_size, places, train.augment == "crop")
    counts = data.pool.class_counts(len(data.classes))
    return Summary(len(data.classes), int(counts.min()), data.notes, data.classes)


def prepare_source(emit: Emit, backbone: BackboneSpec, train: TrainSpec, places: Places) -> None:
    """Decode the images that a backbone is to be pretrained on."""
    decode_source(backbone, train.image_size, places.base, places.cache)


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
) -> list[MeasuresRecord]:
    """Every measure of transferability of a dataset at each of its sizes, on one backbone; kept in the cache."""
    return measure_dataset(dataset, sizes, backbone, seed, image_size, places)


def check(
    emit: Emit, specs: Sequence[RunSpec], num_classes: int, places: Places, stand_in: bool = False
) -> Checked:
    """Preflight of every strategy on one backbone. Raises `UserError` with all that is wrong with any of them.

    stand_in: these weights are not those of the study, and what they do not allow is no error.
    """
    torch.manual_seed(0)
    if not specs:
        return Checked()
    model = usable_model(specs[0].backbone, num_classes, specs[0].train.image_size, places)
    wrong: list[str] = []
    crashed: dict[str, str] = {}
    for spec in specs:
        try:
            preflight(spec, num_classes, places, model)
        except NeedsWeights as error:
            wrong += [] if stand_in else [str(error)]
        except UserError as error:
            wrong.append(str(error))
        except Exception:
            crashed[spec.strategy.label] = traceback.format_exc()
    if wrong:
        raise UserError(all_of(wrong))
    report = model.load_report
    return Checked(report.table() if report.source else "", report.notes(), crashed)


def remarks(emit: Emit, backbone: BackboneSpec, image_size: int | None, places: Places) -> list[str]:
    """What a reader should know of how a checkpoint's images are prepared."""
    return build.remarks(backbone, image_size, places.base)


def time_precision(emit: Emit, key: Key, backbone: BackboneSpec, places: Places) -> Timing:
    """Time training steps of a backbone in fp32 and bf16, unless that was done before; kept in the cache."""
    return precision_timing.decide(key, backbone, places.base, places.cache)


@lru_cache(maxsize=1)
def _tracker(tracking: Tracking) -> Tracker:
    return Tracker(tracking.uri, tracking.experiment_id)


@patience.granted()
def run(
    emit: Emit, spec: RunSpec, row: PlannedRow, places: Places, tracking: Tracking, alone: str = ""
) -> Result:
    """Execute one planned run and log it.

    alone: why it is not trained as one with others that differ from it in hyperparameters alone.
    Only a broken store raises; whatever happens to the run itself is its status.
    """
    if over := _done(
        tracking, [spec.run_id]
    ):  # an attempt whose worker died when all but its end was written
        return over[spec.run_id]
    with _store_has_room(tracking):
        log = _tracker(tracking).start(row, spec, tracking.system_metrics, alone)
    with _killed_if_stopped([log]), _store_has_room(tracking):
        try:
            result: Outcome | Exception = execute(
                spec, places, _record(log, emit), tracking.checkpoints, wait=False
            )
        except Exception as error:
            result = error
        return _end(log, result)


def score_unchanged(emit: Emit, spec: RunSpec, places: Places) -> float | None:
    """How well the network of these runs does before training; kept in the cache for all strategies."""
    return execution.score_unchanged(spec, places)


@patience.granted()
def run_together(
    emit: Emit, runs: Sequence[tuple[RunSpec, PlannedRow]], places: Places, tracking: Tracking
) -> list[Result]:
    """The same of runs that differ in hyperparameters alone, trained as one if they can be. -> as of each `run`, in
    their order.
    """
    done = _done(tracking, [spec.run_id for spec, _ in runs])
    missing = [(spec, row) for spec, row in runs if spec.run_id not in done]
    results = _run_missing(emit, missing, places, tracking)
    done |= {spec.run_id: result for (spec, _), result in zip(missing, results, strict=True)}
    return [done[spec.run_id] for spec, _ in runs]


def _run_missing(
    emit: Emit, missing: Sequence[tuple[RunSpec, PlannedRow]], places: Places, tracking: Tracking
) -> list[Result]:
    alone = ""
    if len(missing) > 1:
        try:
            together = gather([spec for spec, _ in missing], places)
        except NotVectorizable as reason:
            alone = str(reason)
        except Exception as error:  # ours, or the machine's: not hidden by other ways to train them
            message = f"training {len(missing)} runs as one: {type(error).__name__}: {error}"
            return fail(emit, missing, message, traceback.format_exc(), tracking)
        else:
            return _run_as_one(emit, together, missing, places, tracking)
    return [run(emit, spec, row, places, tracking, alone) for spec, row in missing]


def _run_as_one(
    emit: Emit,
    together: Together,
    runs: Sequence[tuple[RunSpec, PlannedRow]],
    places: Places,
    tracking: Tracking,
) -> list[Result]:
    logs: list[RunLog] = []
    with _killed_if_stopped(logs), _store_has_room(tracking):
        for spec, row in runs:
            logs.append(_tracker(tracking).start(row, spec, tracking.system_metrics))
        try:
            results: Sequence[Outcome | Exception] = together.execute(
                [_record(log, emit) for log in logs], wait=False
            )
        except Exception as error:
            results = [error] * len(logs)
        return [_end(log, result) for log, result in zip(logs, results, strict=True)]


@patience.granted()
def fail(
    emit: Emit,
    runs: Sequence[tuple[RunSpec, PlannedRow]],
    message: str,
    crash: str,
    tracking: Tracking,
) -> list[Result]:
    """Log runs that cannot be executed, as what they depend on has crashed. -> as of each `run`, in their order."""
    results: list[Result] = []
    for spec, row in runs:
        with _store_has_room(tracking):
            log = _tracker(tracking).start(row, spec, system_metrics=False)
        with _killed_if_stopped([log]), _store_has_room(tracking):
            results.append(_failed(log, Status.FAILED, message, crash))
    return results


def _done(tracking: Tracking, run_ids: Sequence[str]) -> dict[str, Result]:
    """What is over of these runs, by identity: an attempt whose worker died may have come so far with some of them."""
    own = store.read_runs(tracking.uri, tracking.study, params=(), tagged={Tag.RUN_ID: run_ids})
    return {
        run_id: Result(run.status, run.error, run.metrics)
        for run_id, run in outcome.finals(own).items()
        if run.has_result
    }


def _record(log: RunLog, emit: Emit) -> Record:
    def record(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        log.record(epoch, metrics)
        emit(epoch, epochs)

    return record


@contextmanager
def _killed_if_stopped(logs: Sequence[RunLog]) -> Iterator[None]:
    try:
        yield
    except STOPS:
        with patience.best_effort():
            for log in logs:
                log.finish(Status.KILLED, {}, "stopped by the user")
        raise
    except StoreAway:
        for log in logs:
            log.abandon()
        raise


def _end(log: RunLog, result: Outcome | Exception) -> Result:
    """Log the end of a run."""
    if isinstance(result, Outcome):
        try:
            _keep(result, log)
            log.finish(Status.FINISHED, result.metrics)
            return Result(Status.FINISHED, metrics=result.metrics)
        except StoreAway:
            raise
        except Exception as error:
            result = error
    if isinstance(result, Diverged):
        return _failed(log, Status.DIVERGED, str(result))
    if isinstance(result, UserError):
        return _failed(log, Status.FAILED, str(result))
    crash = "".join(traceback.format_exception(result))
    return _failed(log, Status.FAILED, f"{type(result).__name__}: {result}", crash)


def _failed(log: RunLog, status: Status, message: str, crash: str = "") -> Result:
    if crash:
        with suppress(OSError):  # a full disk: the message is what matters
            log.text(crash, "traceback.txt")
    log.finish(status, {}, message)
    return Result(status, message)


@patience.granted()
def search(
    emit: Emit, tuning: Tuning, row: PlannedRow, places: Places, tracking: Tracking, sole_worker: bool
) -> Result:
    """Search for the hyperparameters of a strategy."""
    from bench.tuning import search  # imports Optuna

    return search.run(emit, tuning, row, places, tracking, sole_worker)


def _keep(outcome: Outcome, log: RunLog) -> None:
    if outcome.load_table:
        with room_for("the table of loaded weights", "the MLflow store"):
            log.text(outcome.load_table, "loaded_weights.txt")
    log.tags({Tag.DEVICE: outcome.device, **_keep_predictions(outcome, log), **_collapse(outcome)})
    if not outcome.snapshots:
        return
    with tempfile.TemporaryDirectory() as folder:
        with room_for("the checkpoints", tempfile.gettempdir()):
            for name, snapshot in outcome.snapshots.items():
                snapshot.save(Path(folder) / name)
        with room_for("the checkpoints", "the MLflow store"):
            log.folder(Path(folder), "checkpoints")


def _keep_predictions(outcome: Outcome, log: RunLog) -> dict[str, str]:
    """-> the tag that says of which test set they are, and that they are there."""
    if not outcome.predictions:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ARTIFACT_PREDICTIONS
        with room_for("the predictions", tempfile.gettempdir()):
            path.write_bytes(outcome.predictions.to_bytes())
        with room_for("the predictions", "the MLflow store"):
            log.file(path)
    return {Tag.TEST_SET: outcome.predictions.test_set}


def _collapse(outcome: Outcome) -> dict[str, str]:
    """The tag of a run that has learnt nothing."""
    where = collapsed(outcome.metrics)
    return {} if where in (None, NOT_COLLAPSED) else {Tag.COLLAPSED: str(where)}


def _store_has_room(tracking: Tracking) -> AbstractContextManager[None]:
    return room_for("the runs", store.redacted(tracking.uri))
