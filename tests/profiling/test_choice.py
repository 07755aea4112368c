"""Which run `bench profile` means, and to which part a moment belongs: nothing is trained."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench import profiling
from bench.core.errors import UserError
from bench.training.profile_marks import Timed
from tests.conftest import TINY_STUDY
from tests.support.profiled_study import planned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiled")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


def test_a_moment_counts_for_the_innermost_part() -> None:
    parts = Timed(lambda: None)
    start = time.perf_counter()
    with parts("total"):
        time.sleep(0.02)
        with parts("forward"):
            time.sleep(0.04)
            with parts("read"):
                time.sleep(0.06)
        with parts.paused():
            time.sleep(0.05)
        with pytest.raises(KeyError), parts("forward"):
            raise KeyError
    elapsed = time.perf_counter() - start
    found = parts.within("total")
    assert found["total"] >= 0.02 and found["forward"] >= 0.04 and found["read"] >= 0.06
    assert sum(found.values()) == pytest.approx(elapsed - 0.05, abs=0.02)
    assert parts.within("total", "forward").keys() == {"forward", "read"}


def test_which_run_is_meant(folder: Path) -> None:
    plan = planned(folder, "seeds=2")
    by_id = {run.run_id: run for run in plan.runs}
    assert profiling.pick(plan).spec.strategy.label == "full" == plan.baseline
    assert profiling.pick(plan) is next(r for r in plan.runs if r.spec.strategy.label == "full")
    for run_id, run in by_id.items():
        assert profiling.pick(plan, run_id) is run
        shortest = next(run_id[:i] for i in range(1, 17) if sum(k.startswith(run_id[:i]) for k in by_id) == 1)
        assert profiling.pick(plan, shortest) is run
    some = plan.runs[-1].run_id
    with pytest.raises(UserError, match=f"begins with '{some[:-1]}_'; did you mean {some}"):
        profiling.pick(plan, f"{some[:-1]}_")
    twice = next(k[0] for k in by_id if sum(o[0] == k[0] for o in by_id) > 1 or k is list(by_id)[-1])
    if sum(k[0] == twice for k in by_id) > 1:
        with pytest.raises(UserError, match="is the beginning of"):
            profiling.pick(plan, twice)
    with pytest.raises(
        UserError, match="'linear_prob' is no strategy of this study; did you mean linear_probe"
    ):
        profiling.pick(plan, strategy="linear_prob")
    with pytest.raises(UserError, match="not both"):
        profiling.pick(plan, some, "full")


def test_a_study_without_full_fine_tuning_has_a_first_run(folder: Path) -> None:
    plan = planned(folder, "strategies=[{use: logreg}, {use: linear_probe}]")
    assert plan.baseline is None and profiling.pick(plan) is plan.runs[0]


def test_nothing_is_planned(folder: Path) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match="nothing to profile"):
        profiling.pick(replace(planned(folder), runs=[]))
