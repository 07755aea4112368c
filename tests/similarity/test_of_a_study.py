"""The measures of a study: in its document, whether it is prepared anew or known, and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import main as cli
from bench.core.jobs import Ended
from bench.core.records.measures import MeasuresRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import MEASURES, Measure
from bench.execution import similarity as similarity
from bench.execution.executors.inline import InlineExecutor
from bench.execution.failures import Failures
from bench.execution.pending_measures import Measures
from bench.planning import load, plan
from bench.storage.places import Places
from tests.conftest import TINY_STUDY
from tests.support.displays import Quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


@pytest.fixture
def made(folder: Path) -> plan.Plan:
    path = folder / "tiny.yaml"
    return plan.make(load.load(path), path, folder / "cache")


def stored(study: StudyRecord) -> StudyRecord:
    """As the store gives it back."""
    return StudyRecord.from_json(json.loads(json.dumps(study.to_json(), allow_nan=False)))


def test_they_enter_the_document_and_are_found_again(made: plan.Plan) -> None:
    places = Places(made.base, made.cache)
    entries = similarity.measure_study(made, InlineExecutor(), Quiet())
    measures = Measures.of(made, places)
    study = stored(measures.entered(made.document()))
    fine, glyph = (entry.measures for entry in study.datasets)
    labels = [entry.label for entry in study.datasets]
    assert [(labels[0], m) for m in fine] + [(labels[1], m) for m in glyph] == entries
    places_found = {(dataset, e.n_per_class, e.backbone) for dataset, e in entries}
    assert places_found == {(r.dataset, r.n_per_class, r.backbone) for r in study.plan}
    assert len(entries) == 3 and all(set(m.values) == set(MEASURES) for m in [*fine, *glyph])
    assert fine[0].values[Measure.FRECHET_STEM] < glyph[0].values[Measure.FRECHET_STEM]

    elsewhere = replace(places, cache=made.cache.with_name("another"))
    found = Measures.of(made, elsewhere, study)  # of the stored study, where the cache is gone
    again = found.entered(made.document())
    assert found.settled and [e.measures for e in again.datasets] == [fine, glyph]
    nothing = Measures.of(made, elsewhere)
    assert len(nothing.missing) == 2 and not nothing.settled
    other = plan.make(load.load(made.path, ["train.image_size=16"]), made.path, made.cache)
    assert len(Measures.of(other, elsewhere, study).missing) == 2, (
        "those of other images are not taken for them"
    )


def test_what_does_not_allow_it_is_final_and_what_crashes_is_tried_again(
    made: plan.Plan, tmp_path: Path
) -> None:
    places = Places(made.base, tmp_path)
    first = Measures.of(made, places)
    one, other = first.jobs(Failures())
    first.take_in(Ended(one, 0, user_error="no features"))
    first.take_in(Ended(other, 0, crash="Traceback ...\nMemoryError: too much"))
    again = Measures.of(made, places, stored(first.entered(made.document())))
    assert [m.why for m in again.missing.values()] == [
        "no features",
        "measuring failed: MemoryError: too much",
    ]
    assert [job.key for job in again.jobs(Failures())] == [one.key, other.key] and not again.settled
    again.missing.pop(next(pair for pair, missing in again.missing.items() if not missing.final))
    assert again.settled, "what a network does not allow is no reason to start workers"
    failures = Failures()
    failures.add("pretraining", "MemoryError", backbone="test_resnet")
    assert not Measures.of(made, places).jobs(failures), "what has failed before fails no second time"


def test_the_command_prints_tables_and_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr("bench.cli.commands.similarity.local_pool", lambda workers: InlineExecutor())
    command = [
        "similarity",
        str(folder / "tiny.yaml"),
        "--set",
        "backbones=[{name: test_resnet, random: true}]",
    ]
    text = CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout
    assert "synthetic/glyph(pool_per_class=12,test_per_class=5) on test_resnet" in text
    assert "LogME" in text and "no Fréchet distance, stem" in text and "unavailable" in text
    result = CliRunner().invoke(cli.app, [*command, "--json"], catch_exceptions=False)
    entries = json.loads(result.stdout)
    assert [(e["n_per_class"], e["images"]) for e in entries] == [(5, 50), (10, 100), (5, 50)]


def test_reasons_are_gathered() -> None:
    few = {"emd_similarity": "no source", "knn_accuracy": "too few"}
    entries = [
        ("a", MeasuresRecord("b", 1, 4, values={"logme": 0.5}, missing=few)),
        (
            "a",
            MeasuresRecord("b", 9, 4, values={"knn_accuracy": 1.0}, missing={"emd_similarity": "no source"}),
        ),
    ]
    ((title, rows, missing),) = similarity.tables(entries)
    assert title == "a on b"
    assert rows[1:] == [
        {"images per class": "LogME", "1": 0.5, "9": None},
        {"images per class": "kNN accuracy", "1": None, "9": 1.0},
    ]
    assert missing == ["at 1, 9 no EMD domain similarity: no source", "at 1 no kNN accuracy: too few"]
