"""The measures of a study: in its document, whether it is prepared anew or known, and on the command line."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import cli, preparation
from bench.executors.inline import InlineExecutor
from bench.places import Places
from bench.preparation import Remarks
from bench.schema import MEASURES, Measure
from bench.similarity import study as similarity
from bench.study import load, plan
from tests.conftest import TINY_STUDY


class Quiet:
    """A view that shows nothing."""

    def say(self, message: str) -> None: ...

    def progress(self, title: str, total: int) -> nullcontext[None]:
        return nullcontext()

    def event(self, event: object) -> None: ...

    def finished(self, name: str, result: object, remaining: object) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


@pytest.fixture
def made(folder: Path) -> plan.Plan:
    path = folder / "tiny.yaml"
    return plan.make(load.load(path), path, folder / "cache")


def test_preparation_puts_them_into_the_document(made: plan.Plan) -> None:
    remarks = preparation.prepare(made, Places(made.base, made.cache), InlineExecutor(), Quiet())
    document = made.document()
    remarks.enter(document)
    document = json.loads(json.dumps(document, allow_nan=False))
    fine, glyph = (entry["measures"] for entry in document["datasets"])
    places = {(r["dataset"], r["n_per_class"], r["backbone"]) for r in document["plan"]}
    labels = [entry["label"] for entry in document["datasets"]]
    found = [(labels[0], m["n_per_class"], m["backbone"]) for m in fine]
    found += [(labels[1], m["n_per_class"], m["backbone"]) for m in glyph]
    assert set(found) == places and len(found) == 3
    assert all(set(m["values"]) == set(MEASURES) for m in [*fine, *glyph])
    assert fine[0]["values"][Measure.FRECHET_STEM] < glyph[0]["values"][Measure.FRECHET_STEM]
    again = made.document()
    Remarks.of(document).enter(again)  # nothing was missing, so nothing was prepared
    assert [e["measures"] for e in again["datasets"]] == [fine, glyph]
    assert Remarks.of({**document, "datasets": [{"label": "old", "notes": []}]}).measures == {"old": []}


def test_the_command_prints_tables_and_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr(cli, "local_pool", lambda workers: InlineExecutor())
    command = [
        "similarity",
        str(folder / "tiny.yaml"),
        "--set",
        "backbones=[{name: test_resnet, random: true}]",
    ]
    text = CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout
    assert "world/glyph(pool_per_class=12,test_per_class=5) on test_resnet" in text
    assert "LogME" in text and "no Fréchet distance, stem" in text and "not at hand" in text
    result = CliRunner().invoke(cli.app, [*command, "--json"], catch_exceptions=False)
    entries = json.loads(result.stdout)
    assert [(e["n_per_class"], e["images"]) for e in entries] == [(5, 50), (10, 100), (5, 50)]


def test_reasons_are_gathered() -> None:
    entry = {"dataset": "a", "backbone": "b", "images": 4, "values": {"logme": 0.5}}
    entries = [
        {**entry, "n_per_class": 1, "missing": {"emd_similarity": "no source", "knn_accuracy": "too few"}},
        {
            **entry,
            "n_per_class": 9,
            "missing": {"emd_similarity": "no source"},
            "values": {"knn_accuracy": 1.0},
        },
    ]
    ((title, rows, missing),) = similarity.tables(entries)
    assert title == "a on b"
    assert rows[1:] == [
        {"images per class": "LogME", "1": 0.5, "9": None},
        {"images per class": "kNN accuracy", "1": None, "9": 1.0},
    ]
    assert missing == ["at 1, 9 no EMD domain similarity: no source", "at 1 no kNN accuracy: too few"]
