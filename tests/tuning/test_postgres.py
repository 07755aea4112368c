"""A tuned study whose runs and searches are both on a real PostgreSQL server that is restarted meanwhile."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import optuna
import pytest

from bench.core.errors import UserError
from bench.core.schema import Metric, Tag
from bench.tracking import store
from bench.tuning.engine import open_storage
from tests.support.commands import bench
from tests.support.outages import Disturbed
from tests.support.servers import Postgres, postgres_machine
from tests.support.tuned_study import STUDY

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


def told(server: str) -> int:
    """Trials that are over, as the database has them; 0 before there are any tables, or where it is away."""
    import psycopg

    try:
        with psycopg.connect(f"{server}/optuna") as connection:
            found = connection.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()
            return int(found[0]) if found else 0
    except psycopg.Error:
        return 0


def trials(storage: str) -> list[tuple[int, dict[str, float], float]]:
    """Of the one search, in order: number, hyperparameters, value. All of them are complete."""
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * len(study.trials)
    return [(t.number, t.params, t.values[0]) for t in study.trials]


def numbers(uri: str) -> dict[str, float]:
    """run id -> test NLL of the planned runs, each once and over; trials and search are over too."""
    runs = store.read_runs(uri, "tuned")
    assert {run.mlflow_status for run in runs} == {"FINISHED"}
    final = [run for run in runs if run.tags[Tag.PURPOSE] == "final"]
    found = {run.tags[Tag.RUN_ID]: run.metrics[Metric.TEST_NLL] for run in final}
    assert len(found) == len(final), "a run is there twice"
    return found


@pytest.mark.timeout(1200)
def test_a_study_and_its_searches_on_postgresql_restarted_in_mid_search(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    machine = postgres_server
    uri, searches = machine.database("searched"), machine.database("optuna")
    kept = ["--store", uri]
    where = [*kept, "--set", f"tune.storage={searches}"]
    with Disturbed(tmp_path, STUDY, *where) as driver:
        driver.wait_until(lambda: told(machine.url) > 0)
        machine.restart(away=1)
        driver.end()
    again = bench(tmp_path, "run", "study.yaml", *where)
    assert again.returncode == 0 and "0 missing" in again.stdout, again.stdout + again.stderr

    assert len(numbers(uri)) == 6
    found = trials(searches)
    assert [number for number, _, _ in found] == [0, 1, 2, 3], "each trial once"
    runs = store.read_runs(uri, "tuned")
    (search,) = [run for run in runs if run.tags.get(Tag.PURPOSE) == "tuning"]
    logged = [run for run in runs if run.tags.get(Tag.PURPOSE) == "trial"]
    assert json.loads(search.tags[Tag.CHOSEN]) in [params for _, params, _ in found]
    assert sorted(run.tags[Tag.TRIAL] for run in logged) == ["0", "1", "2", "3"]

    report = (tmp_path / "reports" / "out" / "tuned" / "report.md").read_text()
    assert "secret" not in report + driver.log
    assert not (tmp_path / "mlflow.db").exists() and not (tmp_path / "optuna.journal").exists()


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_eight_restarts_change_no_number(tmp_path: Path) -> None:
    """PostgreSQL cut off at random moments, `immediate` (as by a crash) and `fast` in turn, for 0 to 8 s each."""
    rng, restarts = random.Random(8), 0
    study = STUDY.replace("trials: 4", "trials: 12").replace("epochs: 3", "epochs: 20")
    with postgres_machine("mlflow", "optuna", "calm_mlflow", "calm_optuna") as machine:

        def begin(prefix: str) -> Disturbed:
            folder = tmp_path / f"{prefix}folder"
            folder.mkdir()
            where = ["--store", f"{machine.url}/{prefix}mlflow"]
            return Disturbed(folder, study, *where, "--set", f"tune.storage={machine.url}/{prefix}optuna")

        with begin("calm_") as driver:
            driver.end(1000)
        with begin("") as driver:
            driver.wait_until(lambda: told(machine.url) > 0)
            while driver.process.poll() is None and restarts < 8:
                machine.stop(signal.SIGQUIT if restarts % 2 else signal.SIGINT)
                time.sleep(rng.uniform(0, 8))
                machine.start()
                restarts += 1
                time.sleep(rng.uniform(1, 8))
            driver.end(1000)
        assert numbers(f"{machine.url}/mlflow") == numbers(f"{machine.url}/calm_mlflow")
        assert trials(f"{machine.url}/optuna") == trials(f"{machine.url}/calm_optuna")
    print(f"{restarts} restarts: every trial and every run once, numbers equal to an undisturbed study")
    assert restarts >= 4


def test_a_server_that_is_not_there_is_said_in_one_line_without_the_password() -> None:
    with pytest.raises(UserError, match=r"tune.storage: .*refused") as error:
        open_storage("postgresql://bench:secret@127.0.0.1:1/optuna")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
