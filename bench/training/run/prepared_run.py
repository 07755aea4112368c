"""A run, ready to be trained: its images, task and network, and the meters that run meanwhile."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch

from bench.core.records.predictions import Predictions
from bench.core.schema import Metric
from bench.core.seeds import derive
from bench.core.spec import RunSpec
from bench.data.prepare import Prepared
from bench.data.task import Task
from bench.models.model import Model
from bench.planning import compose
from bench.storage.places import Places
from bench.training.cached_features.store import ActivationStore, limit
from bench.training.checkpoint import Snapshot
from bench.training.cost import Clock, EnergyMeter, MemoryMeter
from bench.training.device import Precision, choose, placed
from bench.training.epochs import Record
from bench.training.loop import Trainer
from bench.training.profile_marks import SILENT, Parts
from bench.training.run.evaluation import Evaluation
from bench.training.run.head_bias import init_head_bias
from bench.training.run.ingredients import make_model, make_task, make_teacher, prepare_for, train_teacher
from bench.training.run.kept_checkpoints import describe
from bench.training.run.run_cost import cost_metrics
from bench.training.run.teacher import Teacher
from bench.training.run.unchanged import Unchanged


@dataclass
class Outcome:
    """What a finished run has to say, once. load_table: how the weights of its network were loaded, for people."""

    metrics: dict[str, float]
    device: str
    load_table: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    predictions: Predictions | None = None  # of the test images; None of a trial


class Meters:
    """The clock, memory and energy of a run, from now on. `parts`: told where the time goes."""

    def __init__(self, precision: Precision, parts: Parts = SILENT) -> None:
        self.clock = Clock(precision, parts)
        self.memory, self.energy = MemoryMeter(precision.device), EnergyMeter(precision.device)
        self.memory.start()


@dataclass
class PreparedRun:
    """A run from its preparation to its outcome."""

    spec: RunSpec
    places: Places
    prepared: Prepared
    trainer: Trainer
    meters: Meters
    teacher: Teacher | None

    @property
    def clock(self) -> Clock:
        return self.meters.clock

    @property
    def unchanged(self) -> Unchanged:
        """Its network before training."""
        trainer = self.trainer
        return Unchanged(self.spec, self.places, trainer.task, trainer.precision, self.prepared.path.name)

    def train(self) -> None:
        """Raises `CutShort` where training ends before its time."""
        with self.clock("total"):
            self.trainer.run(compose.build(self.spec.strategy))

    def outcome(self, found: Evaluation, keep: str) -> Outcome:
        """With what it has cost. keep: which snapshots to return, as in `bench.training.run.execute.execute`."""
        trainer, meters = self.trainer, self.meters
        cost = cost_metrics(trainer, meters.clock, meters.memory, meters.energy)
        if self.teacher:  # which knows only now how long it took: it was made when first asked
            cost[Metric.TEACHER_SECONDS] = self.teacher.seconds
        snapshots = _kept(trainer, keep)
        for snapshot in snapshots.values():
            snapshot.record = describe(snapshot, trainer.model, self.spec, self.prepared.classes, self.places)
        device = _device_name(trainer.precision.device)
        table = trainer.model.load_report.table()
        return Outcome(found.metrics | cost, device, table, snapshots, found.predictions)


def prepare_run(
    spec: RunSpec, places: Places, record: Record, keep: str, parts: Parts = SILENT
) -> PreparedRun:
    """Everything that training needs, made now where no earlier run has. Raises `UserError` for input that does not work."""
    precision = choose(spec.train)
    if spec.teacher:
        train_teacher(spec, precision, places)  # before the meters start: it serves all runs that share it
    meters = Meters(precision, parts)
    with meters.clock("total"):
        with meters.clock("prepare"):
            with parts("images"):
                prepared = prepare_for(spec, places)
                task = make_task(prepared, spec)
            teacher = make_teacher(spec, task, precision, places) if spec.teacher else None
            if teacher:
                task = dataclasses.replace(task, teacher=teacher)
            with parts("network"):
                model = _network(spec, task, precision, places)
        trainer = Trainer(
            model,
            task,
            spec.train,
            precision,
            meters.clock,
            derive(spec.seed, "order"),
            record,
            snapshots=keep != "none" or spec.train.evaluate == "best",
            activations=ActivationStore(places.cache / "activations", limit()) if limit() else None,
        )
    return PreparedRun(spec, places, prepared, trainer, meters, teacher)


def _network(spec: RunSpec, task: Task, precision: Precision, places: Places) -> Model:
    torch.manual_seed(derive(spec.seed, "model"))
    model = make_model(spec.backbone, task.num_classes, spec.train.image_size, places)
    model = placed(model, precision.device)
    # not a partial: copies of the model would copy the task, images and all
    model.on_new_head = lambda model: init_head_bias(model, task, spec.train)
    model.on_new_head(model)
    return model


def _kept(trainer: Trainer, keep: str) -> dict[str, Snapshot]:
    snapshots = {"best": trainer.best, "last": trainer.last}
    names: dict[str, list[str]] = {"none": [], "best": [trainer.train.evaluate], "all": ["best", "last"]}
    return {name: snapshot for name in names[keep] if (snapshot := snapshots[name])}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
