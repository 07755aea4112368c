"""One RunSpec from data to scores. Knows no MLflow: whoever calls it passes a `Record` for the epochs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from bench import compose
from bench.backbones.model import Model
from bench.data.prepare import Prepared, load_test
from bench.data.task import Task
from bench.errors import CutShort
from bench.ingredients import find_teacher, make_model, make_task, prepare_dataset, train_teacher
from bench.places import Places
from bench.schema import Metric
from bench.seeds import derive
from bench.spec import RunSpec, TrainSpec
from bench.train.cost import Clock, EnergyMeter, MemoryMeter, forward_flops
from bench.train.device import choose
from bench.train.evaluate import score
from bench.train.loop import Record, Trainer

if TYPE_CHECKING:
    from bench.train.checkpoint import Snapshot


@dataclass
class Outcome:
    """What a finished run has to say, once."""

    metrics: dict[str, float]
    device: str
    load_table: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def execute(spec: RunSpec, places: Places, record: Record, keep: str = "none") -> Outcome:
    """Train and evaluate one run. The test images are opened here, after training, and nowhere else.

    `keep`: which snapshots to return ("none", "best": the evaluated one, "all": best and last).
    Raises `Diverged` for a loss that is not finite, `UserError` for input that does not work.
    """
    trained = _train(spec, places, record, keep)
    with trained.clock("total"), trained.clock("eval"):
        scores = _val_scores(trained.trainer) | _test_scores(trained.trainer, trained.prepared)
    return trained.outcome(scores, keep)


def try_out(spec: RunSpec, places: Places, record: Record) -> Outcome:
    """One trial of a search: trained as `execute` does, and judged on validation images only."""
    trained = _train(spec, places, record, "none")
    with trained.clock("total"), trained.clock("eval"):
        scores = _val_scores(trained.trainer)
    return trained.outcome(scores, "none")


@dataclass
class _Trained:
    """A run whose training is over, and the meters that ran meanwhile."""

    trainer: Trainer
    prepared: Prepared
    clock: Clock
    memory: MemoryMeter
    energy: EnergyMeter
    teacher_seconds: float | None

    def outcome(self, scores: dict[str, float], keep: str) -> Outcome:
        trainer = self.trainer
        cost = _cost(trainer, self.clock, self.memory, self.energy)
        if self.teacher_seconds is not None:
            cost[Metric.TEACHER_SECONDS] = self.teacher_seconds
        device = _device_name(trainer.numerics.device)
        return Outcome(scores | cost, device, trainer.model.load_report.table(), _kept(trainer, keep))


def _train(spec: RunSpec, places: Places, record: Record, keep: str) -> _Trained:
    numerics = choose(spec.train)
    if spec.teacher:
        train_teacher(spec, numerics, places)  # before the meters start: it serves all runs that share it
    clock, memory, energy = Clock(numerics), MemoryMeter(numerics.device), EnergyMeter(numerics.device)
    memory.start()
    with clock("total"):
        with clock("prepare"):
            prepared = prepare_dataset(spec.dataset, spec.backbone, spec.train.image_size, places)
            task = make_task(prepared, spec)
            teacher = find_teacher(spec, task, numerics, places)
            if teacher:
                task = dataclasses.replace(task, teacher=teacher)
            torch.manual_seed(derive(spec.seed, "model"))
            model = make_model(spec.backbone, task.num_classes, spec.train.image_size, places)
            model = model.to(numerics.device, memory_format=torch.channels_last)
            # not a partial: copies of the model would copy the task, images and all
            model.on_new_head = lambda model: _init_head_bias(model, task, spec.train)
            model.on_new_head(model)
        wanted = keep != "none" or spec.train.evaluate == "best"
        order = derive(spec.seed, "order")
        trainer = Trainer(model, task, spec.train, numerics, clock, order, record, snapshots=wanted)
        try:
            trainer.run(compose.build(spec.strategy))
        except CutShort as end:
            end.image_steps = trainer.images_seen
            raise
    return _Trained(trainer, prepared, clock, memory, energy, teacher.seconds if teacher else None)


def _val_scores(trainer: Trainer) -> dict[str, float]:
    """Nothing where the validation images were trained on: they have no more to say."""
    if trainer.task.apart is not None:
        return {}
    val = score(trainer.predict(trainer.task.val), trainer.task.val.y)
    return {Metric.VAL_ACCURACY: val.accuracy, Metric.VAL_NLL: val.nll}


def _test_scores(trainer: Trainer, prepared: Prepared) -> dict[str, float]:
    images = load_test(prepared.path)
    test = score(trainer.predict(images), images.y)
    return {
        Metric.TEST_ACCURACY: test.accuracy,
        Metric.TEST_CLASS_ACCURACY: test.mean_class_accuracy,
        Metric.TEST_NLL: test.nll,
        Metric.TEST_ECE: test.ece,
    }


def _cost(trainer: Trainer, clock: Clock, memory: MemoryMeter, energy: EnergyMeter) -> dict[str, float]:
    seconds = clock.seconds
    joules = energy.joules()
    return {
        Metric.PREPARE_SECONDS: seconds["prepare"],
        Metric.TRAIN_SECONDS: seconds["train"],
        Metric.EVAL_SECONDS: seconds["eval"],
        Metric.TOTAL_SECONDS: seconds["total"],
        Metric.IMAGES_PER_SECOND: trainer.images_seen / seconds["train"],
        Metric.IMAGE_STEPS: trainer.images_seen,
        Metric.PEAK_MEMORY: memory.device_peak(),
        Metric.PEAK_HOST_MEMORY: memory.host_peak(),
        Metric.PARAMS_TRAINABLE: trainer.trainable,
        Metric.PARAMS_TOTAL: sum(p.numel() for p in trainer.model.parameters()),
        Metric.FLOPS: forward_flops(trainer.model),
        **({Metric.ENERGY: joules} if joules is not None else {}),
    }


def _kept(trainer: Trainer, keep: str) -> dict[str, Snapshot]:
    snapshots = {"best": trainer.best, "last": trainer.last}
    names = {"none": [], "best": [trainer.train.evaluate], "all": ["best", "last"]}[keep]
    return {name: snapshot for name in names if (snapshot := snapshots[name])}


def _init_head_bias(model: Model, task: Task, train: TrainSpec) -> None:
    """Zero, or the log of the class prior: with unbalanced labels the head then starts at the base rates."""
    # of the output layer alone, where the head has others too
    biases = [p for p in model.stage_parameters(model.head) if p.shape == (model.num_classes,)]
    if train.head_bias == "default":
        return
    counts = task.class_counts.float().clamp(min=0.5)
    prior = (counts / counts.sum()).log().to(biases[0]) if biases else None
    for bias in biases:
        with torch.no_grad():
            bias.copy_(prior) if train.head_bias == "prior" else bias.zero_()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
