"""From documents and rows to conditions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.core.schema import Measure, Metric, Status
from bench.core.spec import BackboneSpec, DatasetSpec
from reports.analysis.evidence import backbone_key, comparable, conditions, dataset_key, plainest, reference
from tests.support import simulated_evidence as simulated


def test_gains_are_paired_over_the_seeds_that_both_have() -> None:
    cell = "similar-small"
    rows = [simulated.row("a", 10, cell, "full", s, v) for s, v in enumerate([0.5, 0.7])]
    rows += [simulated.row("a", 10, cell, "lora", s, v) for s, v in [(1, 0.75), (2, 0.1)]]
    rows.append(simulated.row("a", 10, cell, "l2_sp", 2, 0.9))  # no common seed
    (found,) = conditions(simulated.document([{"label": "a", "name": "synthetic/a"}]), rows)
    assert found.gains("full") == {"full": 0.0, "lora": pytest.approx(0.05)}
    assert found.accuracy("lora") == pytest.approx(0.425) and found.runs == 5
    assert (found.rule, found.full, found.probe) == ("linear_probe", "full", "linear_probe")
    assert found.place.similar is True and found.place.classes is None and not found.place.measures
    assert comparable([found], "full") == [found] and comparable([found], "scratch") == []


def test_runs_without_a_result_and_lone_strategies_are_no_evidence() -> None:
    cell = "similar-small"
    rows = [simulated.row("a", 10, cell, "full", 0, 0.5), simulated.row("a", 10, cell, "lora", 0, 0.6)]
    document = simulated.document([{"label": "a", "name": "synthetic/a"}])
    assert len(conditions(document, rows)) == 1
    rows[1]["status"] = Status.FAILED
    assert conditions(document, rows) == []
    rows[1] |= {"status": Status.FINISHED, Metric.TEST_ACCURACY: None}
    assert conditions(document, rows) == []


def test_tuned_results_are_not_mixed_with_untuned_ones() -> None:
    cell = "similar-small"
    rows = [
        simulated.row("a", 10, cell, s, 0, v, setting=setting)
        for setting, base in (("default", 0.2), ("tuned", 0.6))
        for s, v in (("full", base), ("lora", base + 0.1))
    ]
    document = simulated.document([{"label": "a", "name": "synthetic/a"}])
    (found,) = conditions(document, rows)
    assert found.accuracies == {"full": {0: 0.6}, "lora": {0: pytest.approx(0.7)}}
    (untuned,) = conditions(document, rows[:3])  # a search is over for one strategy only
    assert untuned.accuracy("full") == 0.2


def test_measures_and_the_curve_up_to_the_own_size() -> None:
    document, rows = simulated.study({}, datasets=1)
    small, large = conditions(document, rows)
    assert set(small.place.curve) == {10} and set(large.place.curve) == {10, 200}
    assert large.place.measures == large.place.curve[200] and Measure.PROBE in large.place.measures
    assert large.place.classes == 10 and large.place.backbone == simulated.KEY


def test_the_same_data_has_one_identity() -> None:
    same = [("folder:../data/pets", {}), ("folder:/home/x/pets/", {"test_share": 0.2}), ("folder:pets", {})]
    assert len({dataset_key(*entry) for entry in same}) == 1
    fine = [dataset_key("synthetic/fine", options) for options in ({}, {"pool_per_class": 9}, {"draw": 1})]
    assert fine == ["synthetic/fine", "synthetic/fine", "synthetic/fine{'draw': 1}"]
    other = BackboneSpec("test_resnet", "source", source=DatasetSpec("synthetic/source"))
    assert (
        backbone_key(BackboneSpec(**simulated.BACKBONE))
        == simulated.KEY
        != backbone_key(other)
        == "test_resnet (source synthetic/source)"
    )


def test_the_reference_is_the_baseline_of_most_conditions() -> None:
    document, rows = simulated.study({}, datasets=2)
    found = conditions(document, rows)
    assert reference(found) == "full" == plainest(document, "full") and reference([]) is None
    document = replace(document, matrix=replace(document.matrix, baseline="l2_sp"))
    assert reference(conditions(document, rows)) == "l2_sp"
