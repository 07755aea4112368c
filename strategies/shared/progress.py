"""How far a training run has come, for losses whose weights change with it."""

from collections.abc import Callable

from bench.methods.api import Model, Phase, Task


def with_progress(phase: Phase, task: Task) -> tuple[Phase, Callable[[], float]]:
    """The phase, counting its steps, and the progress in [0, 1) of the training run that it is (a part of)."""
    start, end = phase.span
    steps, done = phase.epochs * task.steps_per_epoch, 0

    def count(model: Model) -> None:
        nonlocal done
        done += 1

    return phase.after_step(count), lambda: start + (end - start) * done / steps
