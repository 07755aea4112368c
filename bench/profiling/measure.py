"""The job that executes a run and measures its parts. Its times are those of a run in a study that is well under way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity

from bench.core.errors import Diverged, UserError
from bench.core.jobs import Emit
from bench.core.schema import Metric
from bench.core.spec import RunSpec
from bench.models.build import build
from bench.models.model import Model
from bench.planning.precision import Key
from bench.profiling import PARTS
from bench.storage.places import Places
from bench.training import precision_timing
from bench.training.cost import matmul_peak, step_flops
from bench.training.device import Precision, choose
from bench.training.epochs import Record
from bench.training.profile_marks import STEP, Parts, Timed
from bench.training.run.execute import execute
from bench.training.run.ingredients import make_task, prepare_for, train_teacher
from bench.training.run.preflight import preflight
from bench.training.run.prepared_run import Outcome

STEPS = 20
"""Training steps of which torch's operators are recorded."""

WARM_UP = 8
"""Images of two steps before anything is measured: what torch loads and sets up once in a process is no run's."""


class Counted(Timed):
    """Times the parts of a run, and counts the FLOPs of its training steps."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        super().__init__(synchronize)
        self.images = self.trained_steps = self.stepped = self.forward = self.backward = 0
        self.why_not = ""
        self._steps_before = 0

    def phase_over(self, model: Model, images: int, skipped: Callable[[], str]) -> None:
        with self.paused():
            new, steps = images - self.images, self.steps - self._steps_before
            self.images, self._steps_before = images, self.steps
            if not (new and steps):  # a preparation, or solved without steps
                return
            self.trained_steps += steps
            try:
                flops = step_flops(model, skipped())
            except Exception as error:  # what a method has put in cannot run without numbers
                self.why_not = f"{type(error).__name__}: {error}".splitlines()[0]
                return
            self.stepped += new
            self.forward += new * flops.forward
            self.backward += new * flops.backward


def prepare(emit: Emit, spec: RunSpec, places: Places) -> tuple[RunSpec, float]:
    """What a study does before its first run: decode, pretrain, choose precision. -> the run with these, and seconds.

    Raises `UserError` for what could never train.
    """
    start = time.perf_counter()
    prepared = prepare_for(spec, places)
    if spec.train.precision == "auto":
        key = Key.of(spec.backbone, spec.train)
        chosen = precision_timing.decide(key, spec.backbone, places.base, places.cache).choice()
        spec = replace(spec, train=replace(spec.train, precision=chosen.dtype))
    preflight(spec, len(prepared.classes), places)
    make_task(prepared, spec)  # refused where there are too few images
    if spec.teacher:
        train_teacher(spec, choose(spec.train), places)
    return spec, time.perf_counter() - start


def profile(emit: Emit, spec: RunSpec, places: Places, checkpoints: str, top: int) -> dict[str, Any]:
    """Execute a run as a worker does, but for the log. -> its parts, speeds and operators, as plain data.

    Raises `UserError` as a run does.
    """
    precision = choose(spec.train)
    _warm_up(spec, precision, places)
    peak = matmul_peak(precision)
    parts = Counted(precision.synchronize)
    outcome = _execute(spec, places, lambda epoch, epochs, metrics: emit(epoch, epochs), checkpoints, parts)
    peak = max(peak, matmul_peak(precision))  # a machine with other work is slower at times
    operators, steps = _operators(spec, places, checkpoints, precision, top) if top else ([], 0)
    return {
        "device": outcome.device,
        "precision": spec.train.dtype,
        "threads": torch.get_num_threads(),
        **_told(parts, outcome, peak),
        "operators": operators,
        "operator_steps": steps,
    }


def _warm_up(spec: RunSpec, precision: Precision, places: Places) -> None:
    random = replace(spec.backbone, weights="random", checkpoint=None, source=None)
    model = build(random, precision_timing.CLASSES, spec.train.image_size, places.base)
    step = precision_timing.make_step(model, model.image_size, precision.device, spec.train)
    for _ in range(2):
        step(spec.train.dtype, WARM_UP)


def _execute(spec: RunSpec, places: Places, record: Record, checkpoints: str, parts: Parts) -> Outcome:
    try:
        return execute(spec, places, record, checkpoints, parts)
    except Diverged as error:
        raise UserError(f"the run diverged, so there is no whole one to measure: {error}") from None


def _told(parts: Counted, outcome: Outcome, peak: float) -> dict[str, Any]:
    spent = parts.within("total")
    seconds = sum(spent.values())
    spent["other"] = spent.pop("total", 0.0) + spent.pop("train", 0.0)
    training = parts.within("total", "train")
    del training["make"]
    trained = sum(training.values())
    return {
        "seconds": seconds,
        "parts": [
            {"part": part, "seconds": spent[part], "share": spent[part] / seconds}
            for part in PARTS
            if spent[part]
        ],
        "training": {
            "images": parts.images,
            "steps": parts.trained_steps,
            "seconds": trained,
            "images_per_second": parts.images / trained,
        },
        "compute": _compute(parts, trained, training["forward"] + training["backward"], peak),
        "metrics": {key: outcome.metrics[key] for key in (Metric.TEST_ACCURACY, Metric.PEAK_MEMORY)},
    }


def _compute(parts: Counted, trained: float, in_passes: float, peak: float) -> dict[str, Any]:
    """FLOPs of an image's step, FLOP/s over the training steps, and shares of what a matrix product reaches."""
    if parts.why_not or not parts.stepped:
        return {"peak": peak, "why_not": parts.why_not or "nothing was trained by gradient steps"}
    flops = parts.forward + parts.backward
    return {
        "forward": parts.forward / parts.stepped,
        "backward": parts.backward / parts.stepped,
        "achieved": flops / trained,
        "peak": peak,
        "share": flops / trained / peak,
        "share_in_passes": flops / in_passes / peak,
        "why_not": "",
    }


class _Enough(Exception):
    """So many steps have been recorded: the rest of the run would tell nothing else."""


class _Window(Parts):
    """Lets torch's profiler look at some steps, from the second one on."""

    def __init__(self, profiler: torch.profiler.profile) -> None:
        self.steps, self._profiler = -1, profiler

    def __call__(self, name: str) -> AbstractContextManager[object]:
        return self._step() if name == STEP else super().__call__(name)

    @contextmanager
    def _step(self) -> Iterator[None]:
        yield
        self.steps += 1
        if self.steps == 0:
            self._profiler.start()
        elif self.steps == STEPS:
            raise _Enough

    def phase_over(self, model: Model, images: int, skipped: Callable[[], str]) -> None:
        """What comes after the steps of a short phase is no matter of theirs."""
        if self.steps >= 1:
            raise _Enough

    def close(self) -> None:
        if self.steps >= 0:
            self._profiler.stop()


def _operators(
    spec: RunSpec, places: Places, checkpoints: str, precision: Precision, top: int
) -> tuple[list[dict[str, Any]], int]:
    """The operators that take longest, and the number of steps they were recorded in: those of another execution.

    What lies between these steps, such as evaluation, is recorded too. Recording slows a run down, so that the table
    of parts is of a run without.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # where there is no GPU, it says so in lines of its own
    cuda = precision.device.type == "cuda"
    profiler = torch.profiler.profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    )
    window = _Window(profiler)
    try:
        _execute(spec, places, lambda epoch, epochs, metrics: None, checkpoints, window)
    except _Enough:
        pass
    finally:
        window.close()
    if window.steps < 1:
        return [], 0

    def seconds(event: FunctionEventAvg) -> float:
        return (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e6

    events = [e for e in profiler.key_averages() if e.device_type == torch.autograd.DeviceType.CPU]
    total = sum(map(seconds, events))
    return [
        {"operator": e.key, "calls": e.count, "seconds": seconds(e), "share": seconds(e) / total}
        for e in sorted(events, key=seconds, reverse=True)[:top]
    ], window.steps
