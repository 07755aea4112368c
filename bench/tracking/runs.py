"""The MLflow runs of a study: planned runs, searches and their trials, with their tags and parameters."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict
from typing import Any

from mlflow.entities import Metric as Point
from mlflow.entities import RunTag

from bench.core.processes import process_mark
from bench.core.records.planned import PlannedRow
from bench.core.records.searches import SearchRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.planning import cpu_kernels
from bench.planning.searches import Tuning
from bench.tracking import provenance
from bench.tracking.log import MLFLOW_STATUS, RunLog
from bench.tracking.opening import Opening
from bench.tracking.plain import run_name, search_name
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import patiently


class Tracker:
    """Writes the runs of one study from one process."""

    def __init__(self, uri: str, experiment_id: str) -> None:
        self.uri = uri
        self.client = MlflowClient(uri)
        self.experiment_id = experiment_id

    def start(self, row: PlannedRow, spec: RunSpec, system_metrics: bool, alone: str = "") -> RunLog:
        """Create the MLflow run of a planned run, with every tag and parameter, in state RUNNING.

        alone: why it is not trained as one with those beside it.
        """
        tags = run_tags(row, spec, alone) | {Tag.PURPOSE: Purpose.FINAL}
        return RunLog(self._opening(run_name(row), tags, flatten(spec)), system_metrics)

    def start_trial(
        self, parent: str, row: PlannedRow, spec: RunSpec, number: int, alone: str = ""
    ) -> RunLog:
        """The same of a trial, nested under the run of its search."""
        tags = run_tags(row.under(spec.run_id), spec, alone) | {
            Tag.PURPOSE: Purpose.TRIAL,
            Tag.PARENT: parent,
            Tag.TRIAL: str(number),
        }
        name = f"trial {number} | {search_name(row)}"
        return RunLog(self._opening(name, tags, flatten(spec)), False)

    def open_search(self, row: PlannedRow, tuning: Tuning) -> str:
        """The MLflow run of a search: the one it had when it was interrupted, or a new one. -> its id.

        Where workers share a search the driver calls this before any of them, so that all find the same.
        """
        mine = f"tags.`{Tag.TUNING_ID}` = '{tuning.tuning_id}'"
        found = self.client.search_runs([self.experiment_id], mine, max_results=1)
        if found:
            run_id: str = found[0].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in running_tags().items()])
            return run_id
        tags = run_tags(row, tuning.spec) | {Tag.PURPOSE: Purpose.TUNING, Tag.TUNING_ID: tuning.tuning_id}
        params = {f"search.{s.name}": f"{s.text}, default {s.default}" for s in tuning.space}
        method = {f"tune.{k}": v for k, v in asdict(tuning.method).items()}
        opening = self._opening(
            f"search: {search_name(row)}", tags, {**params, **method, "seed": tuning.spec.seed}
        )
        run_id = patiently(opening)
        opening.close_duplicates()
        return run_id

    def close_search(self, run_id: str, found: SearchRecord) -> None:
        """What the search has chosen; the tag that says so is written last, and makes it count."""
        now = int(time.time() * 1000)
        # of values at one step MLflow takes the one with the latest time for the last, and clocks are set back
        earlier = self.client.get_metric_history(run_id, Metric.TUNING_SECONDS)
        step = 1 + max((point.step for point in earlier), default=-1)
        points = [Point(k, float(v), now, step) for k, v in found.all_metrics().items()]
        tags = [RunTag(f"chosen.{k}", str(v)) for k, v in found.chosen.items()]
        self.client.log_batch(run_id, metrics=points, tags=tags)
        status = Status.FAILED if found.error else Status.FINISHED
        self.client.log_batch(
            run_id, tags=[RunTag(k, v) for k, v in (found.tags() | {Tag.STATUS: status}).items()]
        )
        self.client.set_terminated(run_id, MLFLOW_STATUS[status])

    def stop_search(self, run_id: str) -> None:
        """The search was interrupted."""
        self.client.set_tag(run_id, Tag.STATUS, Status.KILLED)
        self.client.set_terminated(run_id, MLFLOW_STATUS[Status.KILLED])

    def _opening(self, name: str, tags: dict[str, str], params: dict[str, Any]) -> Opening:
        tags = {**tags, **provenance.tags(), **running_tags()}
        return Opening(self.client, self.experiment_id, name, tags, params)


def running_tags() -> dict[str, str]:
    """Of a run that this process writes: by them it is found again should the process die."""
    return {Tag.STATUS: Status.RUNNING, Tag.HOST: platform.node(), Tag.PID: process_mark()}


def run_tags(row: PlannedRow, spec: RunSpec, alone: str = "") -> dict[str, str]:
    """What a person filters and groups by."""
    keys = (
        Tag.DATASET,
        Tag.SIMILARITY,
        Tag.SIZE,
        Tag.CELL,
        Tag.N_PER_CLASS,
        Tag.BACKBONE,
        Tag.STRATEGY,
        Tag.SEED,
        Tag.SETTING,
    )
    return {
        Tag.RUN_ID: row.run_id,
        **{key: str(getattr(row, key)) for key in keys},
        Tag.FREEZE: spec.strategy.freeze.name,
        Tag.LR_POLICY: " + ".join(p.name for p in spec.strategy.lr),
        Tag.REGULARIZE: " + ".join(p.name for p in spec.strategy.regularize),
        Tag.PRECISION: spec.train.dtype,
        Tag.CPU_KERNELS: cpu_kernels.state(spec.train),
        **({Tag.NOT_VECTORIZED: alone} if alone else {}),
    }


def flatten(spec: RunSpec) -> dict[str, Any]:
    """Every setting of a run as MLflow parameters: hyperparameters as hyperparameter.<part>.<name>, the rest as
    train.*, dataset.*, ...
    """
    strategy = spec.strategy
    flat: dict[str, Any] = {"n_per_class": spec.n_per_class, "seed": spec.seed, "strategy": strategy.label}
    for part in strategy.parts:
        flat |= {f"hyperparameter.{part.name}.{key}": value for key, value in part.hyperparameters.items()}
    flat |= {f"train.{key}": value for key, value in asdict(spec.train).items()}
    sections: dict[str, DatasetSpec | BackboneSpec | None] = {
        "dataset": spec.dataset,
        "backbone": spec.backbone,
        "teacher": spec.teacher.backbone if spec.teacher else None,
    }
    for prefix, section in ((name, asdict(part)) for name, part in sections.items() if part):
        flat |= {
            f"{prefix}.{k}": json.dumps(v) if isinstance(v, dict) else v
            for k, v in section.items()
            if v or v == 0
        }
    return flat
