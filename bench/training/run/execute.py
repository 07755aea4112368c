"""One RunSpec from data to scores. Knows no MLflow: whoever calls it passes a `Record` for the epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.core.errors import CutShort
from bench.core.schema import Metric
from bench.core.seeds import derive
from bench.core.spec import RunSpec, TrainSpec
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, load_test
from bench.data.task import Task
from bench.models.model import Model
from bench.models.stages import output_layer
from bench.planning import compose
from bench.planning.grouping import possible
from bench.storage.places import Places
from bench.training.cached_features.store import ActivationStore, limit
from bench.training.cost import Clock, EnergyMeter, MemoryMeter, forward_flops
from bench.training.device import choose, placed
from bench.training.evaluate import score
from bench.training.heads.sweep import Sweep
from bench.training.loop import Record, Trainer
from bench.training.profile_marks import SILENT, Parts
from bench.training.run.ingredients import find_teacher, make_model, make_task, prepare_for, train_teacher
from bench.training.run.kept_checkpoints import describe
from bench.training.run.unchanged import Unchanged

if TYPE_CHECKING:
    from bench.training.checkpoint import Snapshot
    from bench.training.run.teacher import Teacher


@dataclass
class Outcome:
    """What a finished run has to say, once."""

    metrics: dict[str, float]
    device: str
    load_table: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def execute(
    spec: RunSpec,
    places: Places,
    record: Record,
    keep: str = "none",
    parts: Parts = SILENT,
    wait: bool = True,
) -> Outcome:
    """Train and evaluate one run. The test images are opened here, after training, and nowhere else.

    `keep`: which snapshots to return ("none", "best": the evaluated one, "all": best and last).
    `parts`: told where the time goes. `wait`: compute the score of the unchanged network where it is not kept already.
    Raises `Diverged` for a loss that is not finite, `UserError` for input that does not work.
    """
    trained = _train(spec, places, record, keep, parts)
    with trained.clock("total"), trained.clock("eval"):
        images = _test_images(trained.prepared)
        scores = _val_scores(trained.trainer) | _test_scores(trained.trainer, images)
    outcome = trained.outcome(scores, keep)
    outcome.metrics |= _unchanged(trained.unchanged, images, wait)  # outside the clocks and meters of the run
    return outcome


def try_out(spec: RunSpec, places: Places, record: Record) -> Outcome:
    """One trial of a search: trained as `execute` does, and judged on validation images only."""
    trained = _train(spec, places, record, "none")
    with trained.clock("total"), trained.clock("eval"):
        scores = _val_scores(trained.trainer)
    return trained.outcome(scores, "none")


def gather(specs: Sequence[RunSpec], places: Places) -> Together | None:
    """Runs that differ in their strategies alone, to be trained as one; None where they cannot.

    What raises here would do so in a run of its own, and is left for that to tell.
    """
    bare = {dataclasses.replace(spec, strategy=specs[0].strategy).run_id for spec in specs}
    if len(bare) > 1 or not all(map(possible, specs)):
        return None
    try:
        made = _make(specs[0], places, lambda *args: None, "none")
        with made.clock("total"):
            sweep = Sweep.of(made.trainer, [compose.build(spec.strategy) for spec in specs])
    except Exception:
        return None
    return Together(made, sweep) if sweep else None


@dataclass
class Together:
    """Runs that train nothing but heads, trained as one.

    Each costs what it would have done just so by itself, such as running the frozen body, and its share of the rest.
    """

    _made: _Made
    _sweep: Sweep

    def try_out(self, records: Sequence[Record]) -> list[Outcome | CutShort]:
        """What `try_out` of each returns, or raises because its training ends before its time."""
        self._sweep.run(records)
        return self._results(_val_scores)

    def execute(self, records: Sequence[Record], wait: bool = True) -> list[Outcome | CutShort]:
        """What `execute` of each returns, or raises because its training ends before its time."""
        self._sweep.run(records)
        with self._sweep.clock("eval"):
            images = _test_images(self._made.prepared)
        found = self._results(lambda trainer: _val_scores(trainer) | _test_scores(trainer, images))
        if not any(isinstance(outcome, Outcome) for outcome in found):
            return found
        unchanged = _unchanged(self._made.unchanged, images, wait)
        if Metric.NCM_SECONDS in unchanged:
            unchanged[Metric.NCM_SECONDS] /= len(found)
        for outcome in found:
            if isinstance(outcome, Outcome):
                outcome.metrics |= unchanged
        return found

    def _results(self, judge: Callable[[Trainer], dict[str, float]]) -> list[Outcome | CutShort]:
        """judge: scores a run whose training is over."""
        made, sweep = self._made, self._sweep
        scores = {}
        with sweep.clock("eval"):
            for k in sweep.alive:
                sweep.put(k)
                scores[k] = judge(made.trainer)
        sweep.share()
        shared = made.outcome({Metric.VECTORIZED_RUNS: len(sweep.ends)}, "none")
        shared.metrics.pop(Metric.ENERGY, None)  # of all of them
        return [
            end or dataclasses.replace(shared, metrics=scores[k] | shared.metrics)
            for k, end in enumerate(sweep.ends)
        ]


@dataclass
class _Made:
    """A run, ready to be trained, and the meters that run meanwhile."""

    trainer: Trainer
    prepared: Prepared
    clock: Clock
    memory: MemoryMeter
    energy: EnergyMeter
    teacher: Teacher | None
    unchanged: Unchanged
    spec: RunSpec
    places: Places

    def outcome(self, scores: dict[str, float], keep: str) -> Outcome:
        trainer = self.trainer
        cost = _cost(trainer, self.clock, self.memory, self.energy)
        if self.teacher:  # which knows only now how long it took: it was made when first asked
            cost[Metric.TEACHER_SECONDS] = self.teacher.seconds
        device = _device_name(trainer.precision.device)
        snapshots = _kept(trainer, keep)
        for snapshot in snapshots.values():
            snapshot.record = describe(snapshot, trainer.model, self.spec, self.prepared.classes, self.places)
        return Outcome(scores | cost, device, trainer.model.load_report.table(), snapshots)


def _train(spec: RunSpec, places: Places, record: Record, keep: str, parts: Parts = SILENT) -> _Made:
    made = _make(spec, places, record, keep, parts)
    with made.clock("total"):
        try:
            made.trainer.run(compose.build(spec.strategy))
        except CutShort as end:
            end.samples_seen = made.trainer.images_seen
            raise
    return made


def _make(spec: RunSpec, places: Places, record: Record, keep: str, parts: Parts = SILENT) -> _Made:
    precision = choose(spec.train)
    if spec.teacher:
        train_teacher(spec, precision, places)  # before the meters start: it serves all runs that share it
    clock, memory, energy = (
        Clock(precision, parts),
        MemoryMeter(precision.device),
        EnergyMeter(precision.device),
    )
    memory.start()
    with clock("total"):
        with clock("prepare"):
            with parts("images"):
                prepared = prepare_for(spec, places)
                task = make_task(prepared, spec)
            teacher = find_teacher(spec, task, precision, places)
            if teacher:
                task = dataclasses.replace(task, teacher=teacher)
            torch.manual_seed(derive(spec.seed, "model"))
            with parts("network"):
                model = make_model(spec.backbone, task.num_classes, spec.train.image_size, places)
                model = placed(model, precision.device)
            # not a partial: copies of the model would copy the task, images and all
            model.on_new_head = lambda model: _init_head_bias(model, task, spec.train)
            model.on_new_head(model)
        wanted = keep != "none" or spec.train.evaluate == "best"
        order = derive(spec.seed, "order")
        activations = ActivationStore(places.cache / "activations", limit()) if limit() else None
        trainer = Trainer(
            model,
            task,
            spec.train,
            precision,
            clock,
            order,
            record,
            snapshots=wanted,
            activations=activations,
        )
    unchanged = Unchanged(spec, places, task, precision, prepared.path.name)
    return _Made(trainer, prepared, clock, memory, energy, teacher, unchanged, spec, places)


def _val_scores(trainer: Trainer) -> dict[str, float]:
    """Nothing where the validation images were trained on: they have no more to say."""
    if trainer.task.apart is not None:
        return {}
    val = score(trainer.predict(trainer.task.val), trainer.task.val.y)
    return {Metric.VAL_ACCURACY: val.accuracy, Metric.VAL_NLL: val.nll}


def score_unchanged(spec: RunSpec, places: Places) -> float | None:
    """The score of a run's network before training, from the cache or computed now; None where memory does not suffice."""
    prepared = prepare_for(spec, places)
    task = make_task(prepared, spec)
    own = Unchanged(spec, places, task, choose(spec.train), prepared.path.name)
    return own.scores(_test_images(prepared)).get(Metric.NCM_TEST_ACCURACY)


def _unchanged(own: Unchanged, test: ImageSet, wait: bool) -> dict[str, float]:
    return own.scores(test) if wait else own.kept()


def _test_images(prepared: Prepared) -> ImageSet:
    return load_test(prepared.path)


def _test_scores(trainer: Trainer, images: ImageSet) -> dict[str, float]:
    test = score(trainer.predict(images), images.y)
    return {
        Metric.TEST_ACCURACY: test.accuracy,
        Metric.TEST_CLASS_ACCURACY: test.mean_class_accuracy,
        Metric.TEST_NLL: test.nll,
        Metric.TEST_ECE: test.ece,
    }


def _cost(trainer: Trainer, clock: Clock, memory: MemoryMeter, energy: EnergyMeter) -> dict[str, float]:
    seconds = clock.seconds
    joules, at_once = energy.joules(), trainer.room.at_once
    borrowed = {
        kind: trainer.activations.cached_feature_seconds(kind) if trainer.activations else 0.0
        for kind in ("train", "eval")
    }
    train = seconds["train"] + borrowed["train"]  # as if it had computed by itself what it found in the cache
    return {
        Metric.PREPARE_SECONDS: seconds["prepare"],
        Metric.TRAIN_SECONDS: train,
        Metric.EVAL_SECONDS: seconds["eval"] + borrowed["eval"],
        Metric.CACHED_FEATURE_SECONDS: sum(borrowed.values()),
        Metric.TOTAL_SECONDS: seconds["total"],
        Metric.IMAGES_PER_SECOND: trainer.images_seen / train,
        Metric.SAMPLES_SEEN: trainer.images_seen,
        Metric.PEAK_MEMORY: memory.device_peak(),
        Metric.PEAK_HOST_MEMORY: memory.host_peak(),
        Metric.PARAMS_TRAINABLE: trainer.trainable,
        Metric.PARAMS_TOTAL: sum(p.numel() for p in trainer.model.parameters()),
        Metric.FLOPS: forward_flops(trainer.model),
        **({Metric.MICRO_BATCH: at_once} if trainer.room.parted and at_once else {}),
        **({Metric.ENERGY: joules} if joules is not None else {}),
    }


def _kept(trainer: Trainer, keep: str) -> dict[str, Snapshot]:
    snapshots = {"best": trainer.best, "last": trainer.last}
    names: dict[str, list[str]] = {"none": [], "best": [trainer.train.evaluate], "all": ["best", "last"]}
    return {name: snapshot for name in names[keep] if (snapshot := snapshots[name])}


def _init_head_bias(model: Model, task: Task, train: TrainSpec) -> None:
    """Zero, or the log of the class prior: with unbalanced labels the head then starts at the base rates."""
    if train.head_bias == "default":
        return
    counts = task.class_counts.float().clamp(min=0.5)
    prior = (counts / counts.sum()).log()
    with torch.no_grad():
        for bias in _output_biases(model.classifiers):
            bias.copy_(prior) if train.head_bias == "prior" else bias.zero_()
        for bias in _output_biases(model.auxiliary):
            bias.zero_()  # it is added to logits that start at the prior already


def _output_biases(heads: Sequence[nn.Module]) -> list[torch.Tensor]:
    """Of the output layers alone, where a head has others too."""
    layers = [output_layer(head) for head in heads]
    return [layer.bias for layer in layers if layer is not None and layer.bias is not None]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
