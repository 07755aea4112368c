"""Beyond the contract (test_contract.py): a real Ray of two nodes on this machine, each with a cache of its own; one of them is lost in mid-study."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is an extra: pip install 'finetune-bench[ray]'")

from bench.core import devices
from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.schema import Tag
from bench.execution.executors.choose import Request
from tests.support.commands import BENCH, bench, environment
from tests.support.tiny_study import EPOCHS, args, final_runs, numbers, study_in, wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes of one processor each; the second one's disk is not the driver's."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("ray")
    head = {"num_cpus": 1, "include_dashboard": False, "env_vars": {"BENCH_CACHE": str(folder / "head")}}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.folder = folder
    made.other = made.add_node(num_cpus=1, env_vars={"BENCH_CACHE": str(folder / "other")})
    made.wait_for_nodes()
    yield made
    made.shutdown()


def start(folder: Path, *options: str, epochs: int = EPOCHS) -> subprocess.Popen[bytes]:
    env = environment(BENCH_CACHE=str(folder.parent / "head"))
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*BENCH, *args(epochs), *options],
            cwd=folder, env=env, stdout=log, stderr=log,
        )  # fmt: skip


def running_on(folder: Path, cache: Path) -> list[RunRecord]:
    """Runs under way whose process is on the node with this cache."""
    found = []
    for run in final_runs(folder):
        pid = int(run.tags.get(Tag.PID, "0").partition(":")[0])
        if run.mlflow_status == "RUNNING" and _cache_of(pid) == str(cache):
            found.append(run)
    return found


def _cache_of(pid: int) -> str | None:
    with suppress(psutil.Error):
        return psutil.Process(pid).environ().get("BENCH_CACHE")
    return None


def test_a_node_is_lost_and_the_study_ends_with_the_numbers_of_the_local_pool(
    cluster: Any, finished_study: Callable[[int], Path]
) -> None:
    local = finished_study(devices.cores())  # a thread for each run, as on Ray
    shutil.copytree(local.parent / "cache", cluster.folder / "head", dirs_exist_ok=True)
    folder = study_in(cluster.folder / "ray")
    driver = start(folder, "--address", cluster.address)
    other = cluster.folder / "other"
    hit = wait_for(lambda: driver.poll() is not None or running_on(folder, other), 200)
    assert hit and driver.poll() is None, (folder / "log.txt").read_text()
    assert list((other / "source").glob("*.safetensors")), "weights pretrained elsewhere came here"
    cluster.remove_node(cluster.other, allow_graceful=False)
    assert driver.wait(300) == 0, (folder / "log.txt").read_text()
    assert "lost  " in (folder / "log.txt").read_text()

    states = Counter((run.tags[Tag.RUN_ID], run.mlflow_status) for run in final_runs(folder))
    assert numbers(folder) == numbers(local)
    assert {n for (_, status), n in states.items() if status == "FINISHED"} == {1}
    assert {status for _, status in states} == {"FINISHED", "KILLED"}, "the lost attempt is marked"


@pytest.mark.long
def test_a_lost_worker_is_retried_and_sigterm_interrupts(cluster: Any) -> None:
    folder = study_in(cluster.folder / "interrupted")
    driver = start(folder, "--address", cluster.address, epochs=100_000)  # none of its runs ends by itself
    on_head: list[RunRecord] = []
    head = cluster.folder / "head"
    wait_for(lambda: driver.poll() is not None or on_head.extend(running_on(folder, head)) or on_head, 200)
    assert on_head and driver.poll() is None, (folder / "log.txt").read_text()
    os.kill(int(on_head[0].tags[Tag.PID].partition(":")[0]), signal.SIGKILL)
    killed = lambda: [r for r in final_runs(folder) if r.mlflow_status == "KILLED"]  # noqa: E731
    assert wait_for(killed, 60), (folder / "log.txt").read_text()
    assert wait_for(lambda: running_on(folder, cluster.folder / "head"), 60)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 130, (folder / "log.txt").read_text()
    assert not [r for r in final_runs(folder) if r.mlflow_status == "RUNNING"]


def test_a_node_that_is_lost_unnoticed_does_not_end_the_driver(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray lists it for half a minute more, and refuses what is to run there."""
    import ray

    from bench.execution.executors import cluster as executor

    executor._connect(cluster.address)
    try:
        marker = cluster.folder / "head" / "marker"
        marker.parent.mkdir(exist_ok=True)
        marker.touch()
        (head,) = [node for node in ray.nodes() if node["Alive"] and node["NodeName"]][:1]
        lost = {"NodeID": head["NodeID"][::-1], "Alive": True}
        monkeypatch.setattr(ray, "nodes", lambda: [head, lost])
        assert not executor._seen_everywhere(marker)
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    folder = study_in(tmp_path / "alone")
    refused = bench(folder, "run", "tiny.yaml", "--no-report", "--address", "127.0.0.1:1")
    assert refused.returncode == 2 and "the Ray cluster 127.0.0.1:1 cannot be reached" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_shares_are_for_ray() -> None:
    with pytest.raises(UserError, match="add --executor ray"):
        Request(gpus=0.5)


def test_fractions_of_a_gpu_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.execution.executors.cluster import Share

    assert Share(1, 0.25).fits({"CPU": 16, "GPU": 2}) == 8
    assert Share(4, 0.25).fits({"CPU": 16, "GPU": 2}) == 4
    assert Share(1, 0.1).fits({"CPU": 64, "GPU": 3}) == 30
    assert Share(2, 0).fits({"CPU": 5}) == 2 and Share(1, 1).fits({"CPU": 5}) == 0
