"""One RunSpec from data to scores. Knows no MLflow: whoever calls it passes a `Record` for the epochs."""

from __future__ import annotations

from dataclasses import replace

from bench.core.schema import Metric
from bench.core.spec import RunSpec
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, load_test
from bench.storage.places import Places
from bench.training.device import choose
from bench.training.epochs import Record
from bench.training.loop import Trainer
from bench.training.profile_marks import SILENT, Parts
from bench.training.run.evaluation import (
    Evaluation,
    count_validation,
    score_test,
    score_training,
    score_validation,
)
from bench.training.run.ingredients import make_task, prepare_for
from bench.training.run.prepared_run import Outcome, PreparedRun, prepare_run
from bench.training.run.unchanged import Unchanged


def execute(
    spec: RunSpec,
    places: Places,
    record: Record,
    keep: str = "none",
    parts: Parts = SILENT,
    wait: bool = True,
) -> Outcome:
    """Train and evaluate one run. The test images are opened here, after training, and nowhere else.

    Args:
        keep: which snapshots to return ("none", "best": the evaluated one, "all": best and last).
        parts: told where the time goes.
        wait: compute the score of the unchanged network where it is not kept already.

    Raises:
        Diverged: a loss is not finite.
        UserError: input that does not work.
    """
    run = prepare_run(spec, places, record, keep, parts)
    run.train()
    with run.clock("total"), run.clock("eval"):
        images = open_test_images(run.prepared)
        found = evaluate(run.trainer, images, spec)
    outcome = run.outcome(found, keep)
    outcome.metrics |= unchanged_scores(run, images, wait)  # outside the clocks and meters of the run
    return outcome


def try_out(spec: RunSpec, places: Places, record: Record) -> Outcome:
    """One trial of a search: trained as `execute` does, and judged on validation images only."""
    run = prepare_run(spec, places, record, "none")
    run.train()
    with run.clock("total"), run.clock("eval"):
        found = Evaluation(score_validation(run.trainer) | count_validation(run.trainer))
    return run.outcome(found, "none")


def score_unchanged(spec: RunSpec, places: Places) -> float | None:
    """The score of a run's network before training, from the cache or computed now; None where memory does not suffice."""
    prepared = prepare_for(spec, places)
    task = make_task(prepared, spec)
    own = Unchanged(spec, places, task, choose(spec.train), prepared.path.name)
    return own.scores(open_test_images(prepared)).get(Metric.NCM_TEST_ACCURACY)


def open_test_images(prepared: Prepared) -> ImageSet:
    """The images that a final run is scored on, once its training is over."""
    return load_test(prepared.path)


def evaluate(trainer: Trainer, images: ImageSet, spec: RunSpec) -> Evaluation:
    """All that a final run says of its trained network. images: the test images."""
    tested = score_test(trainer, images, spec.dataset)
    return replace(tested, metrics=score_validation(trainer) | tested.metrics | score_training(trainer))


def unchanged_scores(run: PreparedRun, images: ImageSet, wait: bool) -> dict[str, float]:
    """Of the network before training. wait: compute them where they are not kept already."""
    return run.unchanged.scores(images) if wait else run.unchanged.kept()
