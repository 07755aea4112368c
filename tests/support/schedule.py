"""How `make test` shares its files between the processes of pytest-xdist.

Tests that start processes of their own keep both cores busy and wait for one another's. They all go to one process, one
after the other, from the start; meanwhile the others take the files that need no more than themselves. (By itself
pytest-xdist begins with the files of the most tests: those with the fewest, which take longest, would come last and all
at once.)
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

CHAIN = (
    "tests/execution/test_kill.py",
    "tests/execution/executors/test_ray.py",
    "tests/execution/executors/test_contract.py",
    "tests/tracking/test_server.py",
    "tests/tracking/store/test_outcome.py",
    "tests/tuning/test_postgres.py",
    "tests/browser/test_mlflow_ui.py",
    "tests/tuning/test_tuned_study.py",
    "tests/tracking/exchange/test_exchange.py",
    "tests/security/test_secrets.py",
)
"""In this order, by one process. Those that share servers, or a study that has run, stand together."""

EARLY = (
    "tests/training/run/test_pretrain.py",
    "tests/similarity/test_measured.py",
    "tests/models/test_strided.py",
    "tests/cli/test_cli.py",
    "tests/tracking/test_deleted.py",
    "tests/execution/test_isolation.py",
    "tests/execution/test_baselines.py",
    "tests/training/test_micro_batches.py",
    "tests/strategies/test_contract.py",
    "tests/profiling/test_profile.py",
)
"""Those of the others that take longest: what is left for the end is short, so that no process waits for another."""

ORDER = {file: place for place, file in enumerate(CHAIN + EARLY)}


class ChainFirst(LoadFileScheduling):
    """The files of CHAIN as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "CHAIN" if file in CHAIN else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the order of the collection, which is ours
    return ChainFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In processes of pytest-xdist; in one alone the order changes nothing but what is seen first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: ORDER.get(item.nodeid.partition("::")[0], len(ORDER)))
