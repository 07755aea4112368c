"""One RunSpec from data to final scores. Knows no MLflow: whoever calls it passes a `Record` for the epochs."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench import compose, freeze
from bench.backbones.build import build, resolution
from bench.backbones.model import Model
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, Resolution, load, prepare
from bench.data.splits import k_shot
from bench.data.task import Task
from bench.errors import UserError
from bench.places import Places
from bench.pretrain import pretrain
from bench.schema import Metric
from bench.seeds import derive
from bench.similarity import record
from bench.similarity.frechet import distance
from bench.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.teacher import Teacher
from bench.train.cost import Clock, EnergyMeter, MemoryMeter, forward_flops
from bench.train.device import Numerics, choose
from bench.train.evaluate import score
from bench.train.loop import Record, Trainer, epoch_budget
from bench.train.optim import make_optimizer

if TYPE_CHECKING:
    from bench.train.checkpoint import Snapshot


@dataclass
class Outcome:
    """What a finished run has to say, once."""

    metrics: dict[str, float]
    device: str
    load_table: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def prepare_dataset(
    dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, places: Places
) -> Prepared:
    """The decoded images at the backbone's resolution; decoded on the first call, memory-mapped afterwards."""
    size, crop_pct, interpolation = resolution(
        backbone, image_size, places.base, _source(backbone, image_size, places)
    )
    stored = Resolution(size, max(size, round(size / crop_pct)), interpolation)
    return load(prepare(dataset, stored, places.base, places.cache))


def make_model(backbone: BackboneSpec, num_classes: int, image_size: int | None, places: Places) -> Model:
    """The backbone with its weights and a fresh head. The caller seeds torch."""
    return build(backbone, num_classes, image_size, places.base, _source(backbone, image_size, places))


def _source(backbone: BackboneSpec, image_size: int | None, places: Places) -> Path | None:
    return pretrain(backbone, image_size, places.base, places.cache).path if backbone.source else None


def measure_similarity(spec: RunSpec, places: Places) -> float:
    """Distance of the run's dataset from the source of its backbone, measured on that backbone and recorded."""
    backbone, size = spec.backbone, spec.train.image_size
    assert backbone.source
    model = make_model(backbone, 2, size, places).to(memory_format=torch.channels_last)
    source, target = (
        prepare_dataset(d, backbone, size, places).pool for d in (backbone.source, spec.dataset)
    )
    found = distance(model, source, target)
    record.write(found, spec.dataset, backbone, size, places.cache)
    return found


def preflight(spec: RunSpec, num_classes: int, places: Places, model: Model | None = None) -> Model:
    """Draws the first phase of the strategy on a few random images; raises `UserError` for what could never train.

    Found here: nothing trainable, overlapping groups, knobs that do not fit the backbone, unknown optimisers, no
    unlabelled images, a teacher that cannot be built. Returns the untouched model, so that the next strategy of the
    same backbone need not load it again.
    """
    model = model or make_model(spec.backbone, num_classes, spec.train.image_size, places)
    if spec.teacher:
        make_model(spec.teacher.backbone, num_classes, model.image_size, places)
    trial = copy.deepcopy(model)
    try:
        strategy = compose.build(spec.strategy)
        phase = next(strategy.phases(trial, _rehearsal(spec, trial)))
        freeze.check(trial, phase)
        make_optimizer(phase, spec.train)
        if phase.unlabeled and spec.n_per_class == "all":
            raise UserError('it learns from unlabelled images, and n_per_class "all" leaves none')
    except UserError as error:
        raise UserError(f"strategy {spec.strategy.label!r} on {spec.backbone.label}: {error}") from None
    return model


def _rehearsal(spec: RunSpec, model: Model) -> Task:
    """Two random images of each class, under the epoch budget of the real task."""
    y = torch.arange(model.num_classes).repeat(2)
    images = ImageSet(
        torch.randint(256, (len(y), 3, model.image_size, model.image_size), dtype=torch.uint8), y
    )
    labelled = spec.n_per_class if isinstance(spec.n_per_class, int) else spec.train.batch_size
    epochs = epoch_budget(round(labelled * (1 - spec.train.val_share)) * model.num_classes, spec.train)
    return Task(
        images,
        images,
        model.num_classes,
        epochs,
        spec.train.batch_size,
        images.x,
        lambda: copy.deepcopy(model),
    )


def execute(spec: RunSpec, places: Places, record: Record, keep: str = "none") -> Outcome:
    """Train and evaluate one run. Test labels are read once, after training, by `_final_scores` alone.

    `keep`: which snapshots to return ("none", "best": the evaluated one, "all": best and last).
    Raises `Diverged` for a loss that is not finite, `UserError` for input that does not work.
    """
    numerics = choose(spec.train)
    if spec.teacher:
        _make_teacher(spec, numerics, places)  # before the meters start: it serves all runs that share it
    clock, memory, energy = Clock(numerics), MemoryMeter(numerics.device), EnergyMeter(numerics.device)
    memory.start()
    with clock("total"):
        with clock("prepare"):
            prepared = prepare_dataset(spec.dataset, spec.backbone, spec.train.image_size, places)
            task = make_task(prepared, spec)
            teacher = _teacher(spec, task, numerics, places)
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
        trainer.run(compose.build(spec.strategy))
        with clock("eval"):
            scores = _final_scores(trainer, prepared)
    cost = _cost(trainer, clock, memory, energy)
    if teacher:
        cost[Metric.TEACHER_SECONDS] = teacher.seconds
    return Outcome(
        scores | cost,
        _device_name(numerics.device),
        model.load_report.table(),
        _kept(trainer, keep, spec.train),
    )


def make_task(prepared: Prepared, spec: RunSpec) -> Task:
    """The k-shot subset of a run's seed, split into train and val; the rest of the pool without its labels.

    The test images are not part of it.
    """
    split = k_shot(prepared.pool.y, spec.n_per_class, spec.train.val_share, spec.seed, prepared.classes)
    train = prepared.pool.subset(split.train)
    wanted = any(part.knobs.get("unlabeled") for part in spec.strategy.parts)
    return Task(
        train,
        prepared.pool.subset(split.val),
        len(prepared.classes),
        epoch_budget(len(train), spec.train),
        spec.train.batch_size,
        prepared.pool.x[split.rest(len(prepared.pool))] if wanted else None,
    )


def _make_teacher(spec: RunSpec, numerics: Numerics, places: Places) -> None:
    prepared = prepare_dataset(spec.dataset, spec.backbone, spec.train.image_size, places)
    teacher = _teacher(spec, make_task(prepared, spec), numerics, places)
    assert teacher
    teacher.ready()


def _teacher(spec: RunSpec, task: Task, numerics: Numerics, places: Places) -> Teacher | None:
    if not spec.teacher:
        return None
    size, crop_pct, interpolation = resolution(
        spec.backbone,
        spec.train.image_size,
        places.base,
        _source(spec.backbone, spec.train.image_size, places),
    )
    torch.manual_seed(derive(spec.seed, "teacher"))
    model = make_model(spec.teacher.backbone, task.num_classes, size, places)
    # it is trained on the student's images, so how they were decoded is part of what it is
    own = spec.teaching()
    config = {**own.backbone.data_config, "crop_pct": crop_pct, "interpolation": interpolation}
    own = dataclasses.replace(
        own,
        backbone=dataclasses.replace(own.backbone, data_config=config),
        train=dataclasses.replace(own.train, image_size=size),
    )
    return Teacher(own, model, task, numerics, places.cache)


def _final_scores(trainer: Trainer, prepared: Prepared) -> dict[str, float]:
    val = score(trainer.predict(trainer.task.val), trainer.task.val.y)
    test = score(trainer.predict(prepared.test), prepared.test.y)
    return {
        Metric.VAL_ACCURACY: val.accuracy,
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
        Metric.PEAK_MEMORY: memory.device_peak(),
        Metric.PEAK_HOST_MEMORY: memory.host_peak(),
        Metric.PARAMS_TRAINABLE: trainer.trainable,
        Metric.PARAMS_TOTAL: sum(p.numel() for p in trainer.model.parameters()),
        Metric.FLOPS: forward_flops(trainer.model),
        **({Metric.ENERGY: joules} if joules is not None else {}),
    }


def _kept(trainer: Trainer, keep: str, train: TrainSpec) -> dict[str, Snapshot]:
    snapshots = {"best": trainer.best, "last": trainer.last}
    names = {"none": [], "best": [train.evaluate], "all": ["best", "last"]}[keep]
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
