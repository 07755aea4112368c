"""Every finished run keeps its predictions before it says so, trained alone or with others; one that cannot is not finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from bench.core.collapse import NOT_COLLAPSED
from bench.core.collapse import collapsed as is_collapsed
from bench.core.errors import UserError
from bench.core.records.predictions import Predictions
from bench.core.records.runs import RunRecord
from bench.core.schema import ARTIFACT_PREDICTIONS, Metric, Status, Tag
from bench.core.spec import DatasetSpec, RunSpec
from bench.data.prepare import Resolution, load_test, prepare
from bench.execution import worker
from bench.planning import compose
from bench.storage.places import Places
from bench.tracking import experiment, store
from bench.tracking.log import RunLog
from bench.tracking.plain import Tracking
from bench.tracking.predictions import read_all, read_predictions
from bench.training.run.evaluation import digest_of
from tests.support.trained_searches import OPTIONS, ROW, ignore, make_spec

EXACT = ("label", "predicted")


def probe(lr: float) -> RunSpec:
    return make_spec(strategy=compose.parse("linear_probe", {"linear_probe": {"lr": lr}}, f"probe {lr}"))


def tracked(file: Path) -> Tracking:
    uri = f"sqlite:///{file}"
    return Tracking(uri, experiment.open_store(uri, "s"), False, "none", study="s")


def runs(tracking: Tracking) -> dict[str, RunRecord]:
    return {run.tags[Tag.RUN_ID]: run for run in store.read_runs(tracking.uri, "s")}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("places")
    return Places(folder, folder / "cache")


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    return tracked(tmp_path / "mlflow.db")


def run(spec: RunSpec, places: Places, tracking: Tracking) -> RunRecord:
    worker.run(ignore, spec, replace(ROW, run_id=spec.run_id), places, tracking)
    return runs(tracking)[spec.run_id]


def kept(tracking: Tracking, run: RunRecord) -> Predictions:
    found = read_predictions(tracking.uri, run)
    assert found is not None
    return found


def folder_of(run: RunRecord) -> Path:
    return Path(urlsplit(run.artifact_uri).path)


def test_they_are_what_the_runs_metrics_say(places: Places, tracking: Tracking) -> None:
    """Of the test images in their order, which is the prepared set's."""
    for spec in (make_spec("full"), make_spec("logreg"), make_spec("full", seed=1)):
        done = run(spec, places, tracking)
        own = kept(tracking, done)
        images = load_test(prepare(spec.dataset, Resolution(32, 32), places.base, places.cache))
        assert np.array_equal(own.label, images.y.numpy()) and len(own) == 50
        assert own.right.mean() == pytest.approx(done.metrics[Metric.TEST_ACCURACY], abs=1e-6)
        assert own.nll == pytest.approx(done.metrics[Metric.TEST_NLL], rel=2e-3)
        assert own.test_set == done.tags[Tag.TEST_SET] == digest_of(spec.dataset, images.y)
    assert len({r.tags[Tag.TEST_SET] for r in runs(tracking).values()}) == 1


def test_runs_trained_as_one_keep_each_its_own(places: Places, tracking: Tracking, tmp_path: Path) -> None:
    specs = [probe(lr) for lr in (0.001, 0.1, 1e38)]  # the last one diverges
    found = worker.run_together(ignore, [(s, replace(ROW, run_id=s.run_id)) for s in specs], places, tracking)
    assert [r.status for r in found] == ["finished", "finished", "diverged"]
    assert found[0].metrics[Metric.VECTORIZED_RUNS] == 3
    stored, other = runs(tracking), tracked(tmp_path / "alone.db")
    for spec in specs[:2]:
        together, alone = kept(tracking, stored[spec.run_id]), kept(other, run(spec, places, other))
        assert all(np.array_equal(getattr(together, name), getattr(alone, name)) for name in EXACT)
        np.testing.assert_allclose(together.probability, alone.probability, atol=2e-3)
        for key in (Metric.TRAIN_ACCURACY_END, Metric.TRAIN_LARGEST_CLASS, Metric.TEST_LARGEST_CLASS):
            ours, theirs = (runs(t)[spec.run_id].metrics[key] for t in (tracking, other))
            assert ours == pytest.approx(theirs)
    first, second = (kept(tracking, stored[s.run_id]) for s in specs[:2])
    assert not np.array_equal(first.probability, second.probability)
    assert read_predictions(tracking.uri, stored[specs[2].run_id]) is None
    assert Tag.TEST_SET not in stored[specs[2].run_id].tags


def test_the_file_is_there_before_the_run_is_finished(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    finish = RunLog.finish

    def late(self: RunLog, status: Status, *args: Any) -> None:
        (now,) = runs(tracking).values()
        seen.append((status, now.status, len(store.read_artifact(tracking.uri, now, ARTIFACT_PREDICTIONS))))
        finish(self, status, *args)

    monkeypatch.setattr(RunLog, "finish", late)
    run(make_spec("full"), places, tracking)
    ((status, before, size),) = seen
    assert status == Status.FINISHED and before == Status.RUNNING and 0 < size < 2500


def test_a_run_whose_predictions_cannot_be_stored_has_failed_and_is_done_again(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store of artifacts refuses: there is a file where its folder should be."""
    spec = make_spec("full")
    opened = RunLog.file

    def refused(self: RunLog, path: Path) -> None:
        (now,) = runs(tracking).values()
        folder = folder_of(now)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("in the way")
        opened(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(RunLog, "file", refused)
        failed = run(spec, places, tracking)
    assert failed.status == Status.FAILED and str(folder_of(failed)) in str(failed.error)
    assert Tag.TEST_SET not in failed.tags
    worker.run(ignore, spec, replace(ROW, run_id=spec.run_id), places, tracking)
    both = store.read_runs(tracking.uri, "s")
    assert sorted(r.status for r in both) == ["failed", "finished"]


def test_what_is_gone_or_damaged_is_said_and_what_never_was_is_none(
    places: Places, tracking: Tracking
) -> None:
    done = run(make_spec("full"), places, tracking)
    old = replace(done, tags={k: v for k, v in done.tags.items() if k != Tag.TEST_SET})
    file = folder_of(done) / ARTIFACT_PREDICTIONS
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    damaged, none = read_all(tracking.uri, [done, old])
    assert isinstance(damaged, UserError) and none is None
    assert done.mlflow_run_id in str(damaged) and "unreadable" in str(damaged)
    file.unlink()
    with pytest.raises(UserError, match=r"predictions\.npz of MLflow run .* is unreadable"):
        read_predictions(tracking.uri, done)


def test_other_test_images_are_another_test_set(places: Places) -> None:
    def digest(name: str, **options: int) -> str:
        spec = DatasetSpec(name, {**OPTIONS, **options})
        return digest_of(spec, load_test(prepare(spec, Resolution(32, 32), places.base, places.cache)).y)

    own = digest("synthetic/fine")
    assert digest("synthetic/fine") == own
    assert digest("synthetic/similar") != own, "the labels are equal, the images are not"
    assert digest("synthetic/fine", test_per_class=6) != own
    y = load_test(prepare(make_spec().dataset, Resolution(32, 32), places.base, places.cache)).y
    here, there = (DatasetSpec(f"folder:{path}", {}, content="0123") for path in ("a", "b"))
    assert digest_of(here, y) == digest_of(there, y) != digest_of(replace(here, content="4567"), y)


def test_a_run_that_has_learnt_nothing_is_tagged(places: Places, tracking: Tracking) -> None:
    """At a rate that is far too high."""
    bad = make_spec(
        "full",
        strategy=compose.parse("full", {"full": {"lr": 3.0}}, "bad"),
        train=replace(make_spec().train, optimizer="sgd", epochs=4),
    )
    collapsed = run(bad, places, tracking)
    assert collapsed.status == Status.FINISHED
    assert collapsed.metrics[Metric.TEST_ACCURACY] <= collapsed.metrics[Metric.TEST_LARGEST_CLASS] == 0.1
    assert collapsed.tags[Tag.COLLAPSED] == "test, training"
    other = run(probe(0.1), places, tracking)
    assert other.tags.get(Tag.COLLAPSED, NOT_COLLAPSED) == is_collapsed(other.metrics)
