"""`bench profile`: the parts of a run sum to it, are where they should be, and are measured without a trace."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import profiling
from bench.execution.executors.inline import InlineExecutor
from bench.profiling import measure
from bench.training.cost import Clock, forward_flops, matmul_peak, step_flops
from bench.training.device import choose
from bench.training.profile_marks import SILENT, Timed
from tests.conftest import TINY_STUDY
from tests.support.commands import bench
from tests.support.profiled_study import planned
from tests.support.strategy_samples import NETWORKS, TRAIN, make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiled")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


@pytest.fixture(autouse=True)
def short_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "matmul_peak", partial(matmul_peak, seconds=0.02))


class Quiet:
    def say(self, message: str) -> None: ...

    def progress(self, title: str, total: int) -> Any:
        return SILENT("")

    def event(self, event: object) -> None: ...

    def finished(self, *args: object) -> None: ...


def profile(folder: Path, strategy: str, *sets: str, top: int = 0) -> dict[str, Any]:
    plan = planned(folder, *sets)
    return profiling.of_run(plan, profiling.pick(plan, strategy=strategy), InlineExecutor(), Quiet(), top)


def seconds(found: dict[str, Any]) -> dict[str, float]:
    return {p["part"]: p["seconds"] for p in found["parts"]}


def test_marks_cost_nothing_when_nobody_measures() -> None:
    def best(marked: bool) -> float:
        start = time.perf_counter()
        for _ in range(10_000):
            if marked:
                with SILENT("forward"):
                    pass
        return time.perf_counter() - start

    each = (min(best(True) for _ in range(5)) - min(best(False) for _ in range(5))) / 10_000
    assert each < 5e-6, "a step has about ten marks and takes a thousand times as long"


def test_a_clock_without_parts_is_silent() -> None:
    assert Clock(choose(TRAIN)).parts is SILENT


@pytest.mark.parametrize("network", NETWORKS)
def test_the_backward_pass_is_counted_where_weights_train(network: str) -> None:
    """About twice the forward pass, less the gradient of the images; depthwise convolutions are not counted many times."""
    model = make_model(network)
    full = step_flops(model)
    assert full.forward == forward_flops(model)
    assert 1.8 * full.forward < full.backward < 2 * full.forward
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)
    head = 2 * model.feature_dim * model.num_classes
    assert step_flops(model).backward == head
    name = next(name for name, module in model.net.named_modules() if module is model.classifier)
    cached = step_flops(model, f"{name}:")
    assert (cached.forward, cached.backward) == (head, head)
    borders = [step_flops(model, border).forward for border in model.map_names()]
    assert full.forward > borders[0] and borders == sorted(borders, reverse=True) and borders[-1] >= head


def test_the_parts_of_full_fine_tuning(folder: Path) -> None:
    found = profile(folder, "full", "train.augment=crop")
    parts = seconds(found)
    assert sum(p["share"] for p in found["parts"]) == pytest.approx(1)
    assert sum(parts.values()) == pytest.approx(found["seconds"])
    assert {
        "images",
        "network",
        "data",
        "augment",
        "forward",
        "backward",
        "optimiser",
        "eval",
    } <= parts.keys()
    assert "read" not in parts and "solve" not in parts and parts["backward"] > parts["optimiser"]
    assert parts["other"] < 0.2 * found["seconds"]
    training, compute = found["training"], found["compute"]
    assert (
        training["steps"] == 4 * 5 and training["images"] == 4 * 80
    )  # 10 classes of 8 images, batches of 16
    assert training["seconds"] < found["seconds"]
    assert training["images_per_second"] == pytest.approx(training["images"] / training["seconds"])
    assert compute["backward"] == pytest.approx(2 * compute["forward"], rel=0.1)
    expected = (compute["forward"] + compute["backward"]) * training["images_per_second"]
    assert compute["achieved"] == pytest.approx(expected)
    assert 0 < compute["share"] < compute["share_in_passes"] < 1.2


def test_a_probe_on_cached_activations_runs_no_backbone(folder: Path) -> None:
    full, probe = profile(folder, "full"), profile(folder, "linear_probe")
    assert {"make", "read"} <= seconds(probe).keys()
    # nothing but the classifier: a product forward, one for its gradient
    assert probe["compute"]["forward"] == probe["compute"]["backward"] < full["compute"]["forward"] / 100
    stages = profile(folder, "last_stages")["compute"]
    assert probe["compute"]["forward"] < stages["forward"] < full["compute"]["forward"]
    assert stages["backward"] < 2 * stages["forward"]


def test_without_the_cache_the_probe_runs_the_backbone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_GIB", "0")
    compute = profile(folder, "linear_probe")["compute"]
    assert compute["forward"] > 100 * compute["backward"]


def test_a_head_that_is_solved_for_has_no_steps(folder: Path) -> None:
    found = profile(folder, "logreg", top=3)
    assert seconds(found)["solve"] > 0 and found["compute"]["why_not"] and found["operators"] == []
    assert any("not counted" in line for line in profiling.summary(found))


def test_the_operators_are_those_of_the_steps(folder: Path) -> None:
    found = profile(folder, "full + mixup", top=12)
    assert len(found["operators"]) == 12 and found["operator_steps"] == min(measure.STEPS, 19)
    shares = [entry["share"] for entry in found["operators"]]
    assert shares == sorted(shares, reverse=True) and 0.2 < sum(shares) <= 1
    assert any("conv" in entry["operator"] for entry in found["operators"])


def test_profiling_does_not_change_the_run(folder: Path, tmp_path: Path) -> None:
    from bench.storage.places import Places
    from bench.training.run.execute import execute

    plan = planned(folder)
    spec = profiling.pick(plan, strategy="full").spec
    places = Places(plan.base, plan.cache)
    torch.manual_seed(0)
    plain = execute(spec, places, lambda epoch, epochs, metrics: None).metrics
    timed = Timed(lambda: None)
    measured = execute(spec, places, lambda epoch, epochs, metrics: None, parts=timed).metrics
    assert measured["test_nll"] == plain["test_nll"]
    assert sum(timed.within("total").values()) == pytest.approx(measured["total_seconds"], rel=0.02)


def test_the_command_prints_a_table_or_json_and_leaves_no_trace(folder: Path) -> None:
    before = {p.name for p in folder.iterdir()}
    table = bench(folder, "profile", "tiny.yaml", "--workers", "1", "--top", "3")
    assert table.returncode == 0, table.stderr
    for said in ("full + head_x10", "backward", "total", "100.0%", "images/s", "GFLOP/s", "aten::"):
        assert said in table.stdout, table.stdout
    as_json = bench(folder, "profile", "tiny.yaml", "--strategy", "linear_probe", "--json", "--workers", "0")
    assert as_json.returncode == 0, as_json.stderr
    found = json.loads(as_json.stdout)
    assert found["run"]["strategy"] == "linear_probe" and found["precision"] == "fp32"
    assert {p.name for p in folder.iterdir()} == before | {".bench-cache"}
    listed = json.loads(bench(folder, "plan", "tiny.yaml", "--json").stdout)
    assert not listed["done"] and found["run"]["run_id"] in {run["run_id"] for run in listed["runs"]}


def test_an_unknown_run_is_one_line(folder: Path) -> None:
    result = bench(folder, "profile", "tiny.yaml", "--run", "nonsense")
    assert (
        result.returncode == 2
        and "begins with 'nonsense'" in result.stderr
        and "Traceback" not in result.stderr
    )
