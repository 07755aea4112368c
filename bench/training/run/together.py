"""Runs that train nothing but heads, from data to scores, trained as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.core.errors import CutShort, UserError
from bench.core.schema import Metric
from bench.core.spec import RunSpec
from bench.planning import compose
from bench.planning.grouping import possible
from bench.storage.places import Places
from bench.training.epochs import Record
from bench.training.heads.conditions import NotVectorizable
from bench.training.heads.runs import VectorizedHeads
from bench.training.loop import Trainer
from bench.training.run.evaluation import Evaluation, count_validation, score_validation
from bench.training.run.execute import evaluate, open_test_images, unchanged_scores
from bench.training.run.prepared_run import Outcome, PreparedRun, prepare_run


def gather(specs: Sequence[RunSpec], places: Places) -> Together:
    """Runs that differ in their strategies alone, to be trained as one.

    Raises:
        NotVectorizable: They cannot be, for the reason that it names; each is to be run by itself then. Nothing else is
            turned into it: what else is raised is a mistake of this code or of the machine.
    """
    bare = {dataclasses.replace(spec, strategy=specs[0].strategy).run_id for spec in specs}
    if len(bare) > 1:
        raise NotVectorizable("they differ in more than their strategies")
    if not all(map(possible, specs)):
        raise NotVectorizable(
            "what they are asks for more than a head trained in float32 on few views of each image"
        )
    try:
        run = prepare_run(specs[0], places, lambda *args: None, "none")
        with run.clock("total"):
            heads = VectorizedHeads.of(run.trainer, [compose.build(spec.strategy) for spec in specs])
    except UserError as error:
        raise NotVectorizable(f"a run cannot be prepared, as its own will say: {error}") from error
    except torch.OutOfMemoryError as error:  # a run of its own takes its batches in parts
        raise NotVectorizable("the device's memory does not hold all of them") from error
    return Together(run, heads)


@dataclass
class Together:
    """Runs that train nothing but heads, trained as one.

    Each costs what it would have done just so by itself, such as running the frozen backbone, and its share of the rest.
    """

    _run: PreparedRun
    _heads: VectorizedHeads

    def try_out(self, records: Sequence[Record]) -> list[Outcome | CutShort]:
        """What `try_out` of each returns, or raises because its training ends before its time."""
        self._heads.run(records)
        return self._results(
            lambda trainer: Evaluation(score_validation(trainer) | count_validation(trainer))
        )

    def execute(self, records: Sequence[Record], wait: bool = True) -> list[Outcome | CutShort]:
        """What `execute` of each returns, or raises because its training ends before its time."""
        self._heads.run(records)
        with self._heads.clock("eval"):
            images = open_test_images(self._run.prepared)
        found = self._results(lambda trainer: evaluate(trainer, images, self._run.spec))
        if not any(isinstance(outcome, Outcome) for outcome in found):
            return found
        unchanged = unchanged_scores(self._run, images, wait)
        if Metric.NCM_SECONDS in unchanged:
            unchanged[Metric.NCM_SECONDS] /= len(found)
        for outcome in found:
            if isinstance(outcome, Outcome):
                outcome.metrics |= unchanged
        return found

    def _results(self, judge: Callable[[Trainer], Evaluation]) -> list[Outcome | CutShort]:
        """judge: scores a run whose training is over."""
        run, heads = self._run, self._heads
        judged = {}
        with heads.clock("eval"):
            for k in heads.alive:
                heads.put(k)
                judged[k] = judge(run.trainer)
        heads.share()
        shared = run.outcome(Evaluation({Metric.VECTORIZED_RUNS: len(heads.ends)}), "none")
        shared.metrics.pop(Metric.ENERGY, None)  # of all of them
        return [end or _own(shared, judged[k]) for k, end in enumerate(heads.ends)]


def _own(shared: Outcome, judged: Evaluation) -> Outcome:
    """The outcome of one of the runs."""
    metrics = judged.metrics | shared.metrics
    return dataclasses.replace(shared, metrics=metrics, predictions=judged.predictions)
