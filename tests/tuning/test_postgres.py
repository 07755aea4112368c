"""A tuned study whose runs and searches are both on a real PostgreSQL server, as a team would keep them."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from bench import store
from bench.errors import UserError
from bench.schema import Tag
from bench.tuning.engine import open_storage
from tests.servers import postgres
from tests.test_cli import bench
from tests.tuning.test_tuned_study import STUDY

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


def test_a_study_and_its_searches_on_postgresql(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text(STUDY)
    with postgres("mlflow", "optuna") as server:
        kept = ["--store", f"{server}/mlflow"]
        searches = f"{server}/optuna"
        done = bench(
            tmp_path, "run", "tuned.yaml", *kept, "--set", f"tune.storage={searches}", "--workers", "2"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        again = bench(tmp_path, "run", "tuned.yaml", *kept, "--set", f"tune.storage={searches}")
        assert again.returncode == 0 and "0 missing" in again.stdout, again.stdout + again.stderr

        rows = json.loads(bench(tmp_path, "runs", "tuned", *kept, "--json").stdout)
        assert len({row["run_id"] for row in rows}) == 6 and {row["status"] for row in rows} == {"finished"}
        (found,) = optuna.get_all_study_summaries(searches)
        (search,) = [
            run
            for run in store.read_runs(f"{server}/mlflow", "tuned")
            if run["tags"].get(Tag.PURPOSE) == "tuning"
        ]
        assert (
            found.n_trials == 4
            and json.loads(search["tags"][Tag.CHOSEN]).keys() == found.best_trial.params.keys()
        )

        report = (tmp_path / "reports" / "out" / "tuned" / "report.md").read_text()
        assert "secret" not in report + done.stdout + done.stderr
    assert not (tmp_path / "mlflow.db").exists() and not (tmp_path / "optuna.journal").exists()


def test_a_server_that_is_not_there_is_said_in_one_line_without_the_password() -> None:
    with pytest.raises(UserError, match=r"tune.storage: .*refused") as error:
        open_storage("postgresql://bench:secret@127.0.0.1:1/optuna")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
