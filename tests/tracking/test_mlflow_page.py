"""docs/mlflow.md names what is logged: the names of bench/core/schema.py, no more and no fewer, and the note's filters."""

from __future__ import annotations

import re

from bench.core.records.planned import PlannedRow
from bench.core.records.study import MatrixRecord, StudyRecord, TuneRecord
from bench.core.schema import CELLS, Metric, Purpose, Status, Tag
from bench.tracking import note, views
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "mlflow.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named(heading: str) -> list[str]:
    return [name for row in rows(heading) for name in re.findall(r"`([^`]+)`", row[0])]


def planned(cell: str, strategy: str = "full", setting: str = "default") -> PlannedRow:
    similarity, size = cell.split("-")
    return PlannedRow("-", "d", similarity, size, cell, 10, "b", strategy, 0, setting)


def names(cls: type) -> set[str]:
    return {value for key, value in vars(cls).items() if key.isupper()}


def test_every_tag_is_on_the_page() -> None:
    ours = {tag for tag in names(Tag) if not tag.startswith("mlflow.")}
    assert sorted(named("Tags")) == sorted(ours)
    assert f"`{Tag.GIT_COMMIT}`" in PAGE
    purposes, statuses = (
        next(row[1] for row in rows("Tags") if row[0] == f"`{tag}`") for tag in (Tag.PURPOSE, Tag.STATUS)
    )
    assert set(re.findall(r"`(\w+)`", purposes)) == set(Purpose)
    assert set(re.findall(r"`(\w+)`", statuses)) == set(Status)


def test_every_metric_is_on_the_page() -> None:
    assert sorted(named("Metrics")) == sorted(names(Metric))


def test_the_pages_filters_are_the_notes() -> None:
    matrix = MatrixRecord(50, 0.01, {})
    study = StudyRecord("s", matrix, (), (), (), tuple(map(planned, CELLS)), tune=TuneRecord(trials=1))
    told = [[question, f"`{text}`", more] for question, text, more in note.filters_of(study)]
    assert rows("Filters") == told


def test_the_pages_views_are_those_of_a_study() -> None:
    listed = [name for row in rows("Views") for name in re.findall(r"\*([^*]+)\*", row[0])]
    assert listed == ["similar, small: strategies", *(view.name for view in views.EVERYWHERE)]
    assert views.all_views([planned(CELLS[0])])[0].name == listed[0]


def test_a_view_fits_into_a_tag_of_a_study_of_many_strategies() -> None:
    """MLflow refuses an experiment's tag of more than 5,000 characters (20,000 since 3.x)."""
    plan = [
        planned(cell, f"strategy_{i} + policy_{i * i % 97}", setting)
        for i in range(100)
        for setting in ("default", "tuned")
        for cell in CELLS
    ]
    assert all(len(view.tag(plan, 0)[1]) < 5000 for view in views.all_views(plan))
