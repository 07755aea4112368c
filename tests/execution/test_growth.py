"""Planning, reading and reporting cost at most in proportion to the runs. The full measure: `tests.benchmarks.growth`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.jobs import Job
from bench.execution import state
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.tracking import experiment, stale_runs, store
from bench.tracking.store.sql import Select
from reports.analysis.rows import read
from reports.analysis.study import Analysis
from reports.render.markdown import to_markdown
from reports.report import compose
from tests.benchmarks import growth_probes, growth_store
from tests.benchmarks.growth_study import STUDY, study_file

FEW, MANY = 100, 1000
LINEAR = 20
"""How many times as long ten times as many runs may take: 10, with room for a machine that is busy with other work."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, str]]:
    """By runs: the study's file, and the store with all of them."""
    found = {}
    for runs in (FEW, MANY):
        folder = tmp_path_factory.mktemp(f"runs{runs}")
        path, uri = study_file(folder, runs), f"sqlite:///{folder}/mlflow.db"
        growth_store.fill(uri, path, folder / "cache")
        found[runs] = (path, uri)
    return found


def made(path: Path) -> planning.Plan:
    return planning.make(loading.load(path, []), path, path.parent / "cache")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds, the best of three."""
    took = []
    for _ in range(3):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def test_the_made_store_is_like_a_real_one(stores: dict[int, tuple[Path, str]]) -> None:
    path, uri = stores[FEW]
    now = state.read(made(path), uri)
    assert (len(now.done), len(now.missing)) == (FEW, 0)
    runs = store.read_runs(uri, STUDY, tagged={"purpose": ["final"]})
    assert {(len(run.params), len(run.metrics)) for run in runs} == {
        (growth_store.PARAMS, growth_store.METRICS)
    }
    assert {row["status"] for row in read(STUDY, uri).rows} == {"finished"}


PARTS: dict[str, Callable[[Path, str], object]] = {
    "plan": lambda path, uri: made(path),
    "state": lambda path, uri: state.read(PLANS[path], uri),
    "rows": lambda path, uri: read(STUDY, uri),
    "report": lambda path, uri: to_markdown(compose(Analysis(read(STUDY, uri), STUDY))),
}
PLANS: dict[Path, planning.Plan] = {}


@pytest.mark.parametrize("part", PARTS)
def test_time_grows_with_the_runs_and_no_faster(part: str, stores: dict[int, tuple[Path, str]]) -> None:
    took = {}
    for runs, (path, uri) in stores.items():
        PLANS.setdefault(path, made(path))
        took[runs] = seconds(lambda path=path, uri=uri: PARTS[part](path, uri))
    assert took[MANY] < LINEAR * took[FEW] + 0.05, took


def test_queries_do_not_grow_with_the_runs(
    stores: dict[int, tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a driver asks for while nothing is missing, and what a job asks for."""
    asked: list[str] = []
    original = store.sql.runs

    def counted(select: Select, *args: Any) -> Any:
        def noted(query: str, values: Any) -> Any:
            rows = select(query, values)
            asked.append(f"{len(rows)} rows: {query}")
            return rows

        return original(noted, *args)

    monkeypatch.setattr(store.sql, "runs", counted)
    counts = {}
    for runs, (path, uri) in stores.items():
        plan = made(path)
        asked.clear()
        state.read(plan, uri)
        stale_runs.mark_killed(uri, STUDY)
        study = replace(plan.document(), store=uri)
        experiment._tag_settings(None, uri, study)  # type: ignore[arg-type]  # nothing changed: no request
        read(STUDY, uri)
        counts[runs] = len(asked)
        asked.clear()
        few = store.read_runs(
            uri, STUDY, params=(), tagged={"bench.run_id": [r.run_id for r in plan.runs[:3]]}
        )
        assert len(few) == 3 and sum(int(line.split()[0]) for line in asked) < 200, asked
    assert counts[FEW] == counts[MANY] < 12


def test_the_driver_spends_as_little_on_a_run_of_many(
    stores: dict[int, tuple[Path, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bench.cli.console.ConsoleDisplay.event", lambda *_: None
    )  # rich's, the same for each: see the benchmark
    monkeypatch.setattr("bench.cli.console.ConsoleDisplay.finished", lambda *_: None)
    each = {}
    for runs, (path, uri) in stores.items():
        growth_probes.schedule(str(path), uri, "driver")
        each[runs] = float(capsys.readouterr().out.split()[-1])
    assert each[MANY] < 2 * each[FEW] + 0.5, f"processor milliseconds per run: {each}"
    assert each[MANY] < 100


def test_jobs_of_the_measure_are_like_real_ones() -> None:
    (event,) = [
        e for e in growth_probes.NoWork().run([Job("a", "", (None, {}, None, None))]) if hasattr(e, "result")
    ]
    assert json.dumps(event.result.metrics) and event.result.status == "finished"
