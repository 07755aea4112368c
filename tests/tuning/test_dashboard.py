"""optuna-dashboard on the storage of searches: what it shows is what was searched. Its own REST API is asked."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bench.planning.searches import Budget
from bench.storage.places import optuna_storage
from bench.tuning.engine import Search
from tests.support.servers import served
from tests.support.tuning_samples import make_tuning, open_search

VALUES = [0.4, 0.7, 0.6]


def search(folder: Path, storage: str) -> Search:
    """Three complete trials, one pruned, one failed, and one that a worker is at."""
    found = open_search(make_tuning(Budget("trials", 9)), folder, storage)
    for value in VALUES:
        found.tell(found.ask(), "complete", value, 1.0, 2.0, 30.0, 1000)
    for state in ("pruned", "failed"):
        found.tell(found.ask(), state, float("nan"), float("nan"), 1.0, 10.0, 1000)
    assert found.ask() is not None
    return found


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_the_dashboard_shows_searches_their_trials_and_the_best(kind: str, tmp_path: Path) -> None:
    named = None if kind == "journal" else f"sqlite:///{tmp_path / 'optuna.db'}"
    storage = optuna_storage(named, f"sqlite:///{tmp_path / 'mlflow.db'}")  # where a study keeps its searches
    found = search(tmp_path, storage)
    dashboard = str(Path(sys.executable).with_name("optuna-dashboard"))

    def command(port: int) -> list[str]:
        return [dashboard, storage, "--host", "127.0.0.1", "--port", str(port)]

    with served(command, os.environ, "/api/studies", tmp_path / "dashboard.log") as url:
        (listed,) = get(f"{url}/api/studies")["study_summaries"]
        assert (listed["study_name"], listed["directions"]) == ("search", ["maximize"])
        shown = get(f"{url}/api/studies/{listed['study_id']}")
    assert {"key": "cell", "value": "similar-small"} in listed["user_attrs"]
    assert [trial["state"] for trial in shown["trials"]] == [
        "Complete", "Complete", "Complete", "Pruned", "Fail", "Running",
    ]  # fmt: skip
    assert [trial["values"] for trial in shown["trials"][:3]] == [[value] for value in VALUES]
    (best,) = shown["best_trials"]
    choice = found.chosen()
    assert choice is not None
    chosen = choice.candidate
    assert (best["number"], best["values"]) == (chosen.number, [chosen.accuracy])
    params = {param["name"]: param["param_internal_value"] for param in best["params"]}
    assert params == pytest.approx(chosen.params)


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)
