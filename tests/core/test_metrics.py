"""Every metric is declared once: when it is logged, in which unit, under which title."""

from __future__ import annotations

from collections import Counter

from bench.core.metrics import DECLARATIONS, Kind
from bench.core.schema import END_METRICS, Metric


def test_every_metric_is_declared_once() -> None:
    names = [value for key, value in vars(Metric).items() if key.isupper()]
    assert Counter(each.key for each in DECLARATIONS) == Counter(names)
    assert all(each.unit and each.title for each in DECLARATIONS)


def test_titles_tell_metrics_apart() -> None:
    assert len({each.title for each in DECLARATIONS}) == len(DECLARATIONS)


def test_what_is_told_at_the_end_of_a_run_is_declared_and_not_guessed() -> None:
    """Neither what a search logs nor what an epoch logs, however their names begin."""
    kinds = {each.key: each.kind for each in DECLARATIONS}
    assert {kinds[key] for key in END_METRICS} == {Kind.RESULT, Kind.COST}
    assert Metric.TEST_ACCURACY in END_METRICS and Metric.MICRO_BATCH in END_METRICS
    assert not {Metric.TRAIN_LOSS, Metric.TUNING_SECONDS, Metric.CHOSEN_TRIAL} & set(END_METRICS)
