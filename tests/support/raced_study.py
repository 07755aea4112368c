"""A study that adds seeds until it is decided, at its end: two datasets similar to the source, one that is not."""

from __future__ import annotations

import random
from dataclasses import replace

from bench.core.records.looks import Ledger, LookRecord, RaceRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import Metric
from reports.analysis.looks import look_at_study
from reports.analysis.rows import StoredStudy, join
from reports.analysis.study import Analysis
from tests.support import report_samples as samples

LOOKS = (3, 5, 8)
GAINS = {  # over the rule's pick, by cell; the second dataset of the similar ones disagrees with the first
    "similar-small": {"linear_probe": 0.0, "last_stages": 0.008, "full": -0.3, "scratch": -0.4},
    "similar-large": {"full": 0.0, "last_stages": 0.3, "linear_probe": -0.2, "scratch": -0.3},
    "dissimilar-small": {"last_stages": 0.0, "full": 0.0, "linear_probe": -0.3, "scratch": -0.3},
    "dissimilar-large": {"scratch": 0.0, "full": -0.3, "last_stages": -0.3, "linear_probe": -0.3},
}
SECONDS = {"linear_probe": 2.0, "last_stages": 15.0, "full": 40.0, "scratch": 41.0}


def analysis(*ledger: LookRecord) -> Analysis:
    """With the runs that its looks asked for, and no more."""
    document = StudyRecord.from_json(
        samples.document(
            {
                name: {n: dict.fromkeys(SECONDS, 0.0) for n in (10, 200)}
                for name in ("fine", "fine b", "glyph")
            },
            seeds=range(LOOKS[-1]),
        )
    )
    document = replace(document, race=RaceRecord(LOOKS))
    study = _with_runs(document)
    kept = {
        (one.name, strategy): one.dropped_at.get(strategy, one.taken[-1].seeds)
        for one in look_at_study(document, study.rows, Ledger(ledger))
        for strategy in one.cell.strategies
    }
    asked = tuple(row for row in document.plan if row.seed < kept[row.cell, row.strategy])
    return Analysis(_with_runs(replace(document, plan=asked)), "sample")


def _with_runs(document: StudyRecord) -> StoredStudy:
    runs = []
    for planned in document.plan:
        draw = random.Random(planned.run_id)
        gain = GAINS[planned.cell][planned.strategy] * (0.5 if planned.dataset == "fine b" else 1)
        spent = {Metric.TRAIN_SECONDS: SECONDS[planned.strategy], Metric.TOTAL_SECONDS: 60.0}
        accuracy = round(0.6 + gain + draw.gauss(0, 0.004), 3)
        runs.append(samples.stored(vars(planned), accuracy, **spent))
    return join(document, runs)
