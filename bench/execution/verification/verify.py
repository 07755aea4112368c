"""Runs the reference study in a store of its own, which is gone afterwards."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from bench.core.errors import UserError
from bench.core.jobs import Executor
from bench.execution.display import Display
from bench.execution.verification.reference import METRICS, STUDY, Distribution, Key, Reference, digest
from bench.planning import load, plan
from reports.analysis.rows import finished, metric, read

REFERENCE_SEEDS = tuple(range(20))
FIRST = 100
"""Seeds from here on are this machine's: other ones than the reference's, so that the two samples are independent."""

PACKAGES = ("torch", "torchvision", "timm", "numpy")


def measure(
    seeds: Sequence[int],
    make_executor: Callable[[Path, str], Executor],
    display: Display,
    cache: Path,
    sets: Sequence[str] = (),
) -> dict[Key, list[float]]:
    """The metrics of all runs that have finished, by network, strategy and metric, in the order of seeds.

    Args:
        make_executor: Given a cache and a store.
        sets: Overrides of the study, as `bench run --set` has them.

    Raises:
        UserError: It was interrupted.
    """
    from bench.execution.driver import run_study

    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        study = load.load(STUDY, [*sets, f"seeds={list(seeds)}"])
        planned = plan.make(study, STUDY, cache)
        summary = run_study(planned, uri, lambda: make_executor(cache, uri), display, None)
        if summary.interrupted:
            raise UserError("interrupted: nothing was verified")
        found: dict[Key, list[float]] = defaultdict(list)
        for row in finished(read(study.name, uri).rows):
            for name in METRICS:
                if (value := metric(row, name)) is not None:
                    found[row["backbone"], row["strategy"], name].append(value)
        return dict(found)


def reference_of(found: dict[Key, list[float]]) -> Reference:
    """Of measured values, with the versions of this process."""
    values = {key: Distribution.of(own) for key, own in found.items()}
    return Reference(digest(), versions(), values)


def versions() -> dict[str, str]:
    """Of the packages that results depend on; without local parts, as "+cpu"."""
    return {name: version(name).partition("+")[0] for name in PACKAGES}
