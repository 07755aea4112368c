"""What crashes on one backbone, dataset or strategy while a study is prepared: its runs fail, with the reason, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core import devices
from bench.core.devices import Processor
from bench.core.errors import UserError
from bench.core.schema import Tag
from bench.execution import driver, worker
from bench.execution.executors.inline import InlineExecutor
from bench.planning import load, plan, precision
from bench.planning.plan import Plan
from bench.planning.precision import Key
from bench.tracking import store
from reports.analysis.rows import read
from tests.support import lethal
from tests.support.commands import bench
from tests.support.displays import Quiet

STUDY = """
name: parts
datasets:
  - {name: synthetic/fine, label: fine, options: {pool_per_class: 6, test_per_class: 2}, similarity: similar, n_per_class: [5]}
  - {name: synthetic/glyph, label: glyph, options: {pool_per_class: 6, test_per_class: 2}, similarity: SIMILARITY, n_per_class: [5]}
backbones: BACKBONES
strategies: [full, linear_probe]
seeds: 1
train: {image_size: 32, precision: PRECISION, batch_size: 16, epochs: 1}
matrix: {small_at_most: 5}
system_metrics: false
"""
RANDOM = "[{name: test_resnet, random: true, label: good}, {name: test_resnet, random: true, kwargs: {drop_rate: .5}, label: bad}]"
SOURCE = "source: {name: synthetic/source, options: {pool_per_class: 4, test_per_class: 1}}, source_train: {epochs: 1}"
SOURCES = f"[{{name: test_resnet, random: true, label: good}}, {{name: test_resnet, {SOURCE}, label: bad}}]"


class Says(Quiet):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.ended: list[tuple[str, Any]] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def finished(self, name: str, result: Any, remaining: object) -> None:
        self.ended.append((name, result))


def written(
    folder: Path, backbones: str = RANDOM, similarity: str = "dissimilar", precision: str = "fp32"
) -> Path:
    path = folder / "parts.yaml"
    text = (
        STUDY.replace("BACKBONES", backbones)
        .replace("SIMILARITY", similarity)
        .replace("PRECISION", precision)
    )
    path.write_text(text)
    return path


def made(
    folder: Path, backbones: str = RANDOM, similarity: str = "dissimilar", precision: str = "fp32"
) -> Plan:
    path = written(folder, backbones, similarity, precision)
    return plan.make(load.load(path), path, folder / "cache")


def call(planned: Plan, folder: Path) -> tuple[driver.Summary, Says, list[dict[str, Any]]]:
    """One `bench run`, and the rows of its report afterwards."""
    uri, view = f"sqlite:///{folder / 'mlflow.db'}", Says()
    summary = driver.run_study(planned, uri, InlineExecutor, view, None)
    assert not summary.interrupted
    return summary, view, read("parts", uri).rows


def crash_if(concerned: Callable[..., bool], function: Any) -> Callable[..., Any]:
    def instead(*args: Any, **kwargs: Any) -> Any:
        if concerned(*args, **kwargs):
            raise MemoryError("no room for it")
        return function(*args, **kwargs)

    return instead


Row = dict[str, Any]


def bad(row: Row) -> bool:
    return bool(row["backbone"] == "bad")


CASES: dict[str, tuple[str, Callable[..., bool], dict[str, str], Callable[[Row], bool]]] = {
    # function of bench.execution.worker that crashes -> for whom, in which study, and which runs that concerns
    "building the network": (
        "usable_model",
        lambda backbone, *_: backbone.label == "bad",
        {},
        bad,
    ),
    "preflight": (
        "preflight",
        lambda spec, *_: spec.backbone.label == "bad" and spec.strategy.label == "full",
        {},
        lambda row: bad(row) and row["strategy"] == "full",
    ),
    "decoding": (
        "prepare_dataset",
        lambda dataset, *_: dataset.name == "synthetic/glyph",
        {},
        lambda row: row["dataset"] == "glyph",
    ),
    "decoding a source": ("decode_source", lambda *_: True, {"backbones": SOURCES}, bad),
    "pretraining": ("pretrain", lambda *_: True, {"backbones": SOURCES}, bad),
    "measuring what decides cells": (
        "measure_similarity",
        lambda *_: True,
        {"backbones": f"[{{name: test_resnet, {SOURCE}, label: bad}}]", "similarity": "measured"},
        lambda row: row["dataset"] == "glyph",
    ),
}


ORDINARY = ("building the network", "decoding", "pretraining")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in ORDINARY else pytest.mark.long) for case in CASES]
)
def test_a_crash_fails_the_runs_that_need_it_and_no_others(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, concerned, study, hit = CASES[case]
    with monkeypatch.context() as patch:
        patch.setattr(worker, name, crash_if(concerned, getattr(worker, name)))
        summary, view, rows = call(made(tmp_path, **study), tmp_path)
    assert summary.exit_code == 1
    failed = [row for row in rows if hit(row)]
    assert 0 < len(failed) < len(rows)
    assert {row["status"] for row in failed} == {"failed"}
    assert {row["status"] for row in rows if not hit(row)} == {"finished"}
    assert all("MemoryError: no room for it" in row["error"] for row in failed)
    assert summary.counts == {"failed": len(failed), "finished": len(rows) - len(failed)}
    assert len(view.ended) == len(rows), "each is told once"
    assert len(summary.failures) == 1 and "no room for it" in summary.failures[0]

    summary, _, rows = call(
        made(tmp_path, **study), tmp_path
    )  # what had failed is tried again, and nothing else
    assert summary.exit_code == 0 and summary.counts == {"finished": len(failed)}
    assert {row["status"] for row in rows} == {"finished"} and not summary.failures


@pytest.mark.usefixtures("unmeasured")
def test_a_traceback_is_kept_with_the_runs_that_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "usable_model", crash_if(lambda b, *_: b.label == "bad", worker.usable_model))
    call(made(tmp_path), tmp_path)
    runs = store.read_runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "parts", tagged={Tag.STATUS: ["failed"]})
    files = [list(Path(run.artifact_uri.removeprefix("file://")).glob("traceback.txt")) for run in runs]
    assert len(files) == 4 and all(
        "in crash_if" not in file.read_text() and "MemoryError" in file.read_text() for (file,) in files
    )


@pytest.mark.usefixtures("unmeasured")
def test_where_all_crash_all_are_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "usable_model", crash_if(lambda *_: True, worker.usable_model))
    summary, _, rows = call(made(tmp_path), tmp_path)
    assert summary.exit_code == 1 and {row["status"] for row in rows} == {"failed"} and len(rows) == 8
    assert len(summary.failures) == 2


@pytest.mark.usefixtures("unmeasured")
def test_where_timing_crashes_runs_are_in_fp32_and_stay_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu_name", lambda: None)
    monkeypatch.setattr(devices, "processor", lambda: Processor("a processor", True))
    planned = made(tmp_path, precision="auto")
    with monkeypatch.context() as patch:
        patch.setattr(
            worker.precision_timing, "decide", crash_if(lambda *_: True, worker.precision_timing.decide)
        )
        summary, view, rows = call(planned, tmp_path)
    assert summary.exit_code == 0 and {row["status"] for row in rows} == {"finished"} and not summary.failures
    assert "good: precision fp32 (timing bf16 failed here: MemoryError: no room for it)" in view.said
    kept = precision.read(Key.of(planned.backbones[0], planned.study.train), planned.cache)
    assert kept and kept.choice().dtype == "fp32"
    again = made(tmp_path, precision="auto")
    assert not again.undecided and call(again, tmp_path)[0].counts == {}


def test_measures_that_crash_are_missing_with_the_reason_and_taken_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = made(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(
            worker, "measure_dataset", crash_if(lambda d, s, b, *_: b.label == "bad", worker.measure_dataset)
        )
        summary, view, rows = call(planned, tmp_path)
    assert summary.exit_code == 0 and {row["status"] for row in rows} == {"finished"}
    why = "measuring failed: MemoryError: no room for it"
    assert f"transferability of fine on bad: missing: {why}" in view.said
    fine = store.read_study(uri, "parts").datasets[0]
    assert {m.backbone for m in fine.measures} == {"good"} and fine.measured["bad"].missing == why

    summary, view, _ = call(planned, tmp_path)
    fine = store.read_study(uri, "parts").datasets[0]
    assert summary.counts == {} and {m.backbone for m in fine.measures} == {"good", "bad"}
    assert fine.measured["bad"].missing is None


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    wrong = (
        "[{name: test_resnet, random: true, kwargs: {nope: 1}}, {name: test_vit, random: true, label: vit}]"
    )
    planned = made(tmp_path, wrong)
    study = (
        (tmp_path / "parts.yaml")
        .read_text()
        .replace("[full, linear_probe]", "[full, last_stages, last_stages + l2_sp]")
    )
    (tmp_path / "parts.yaml").write_text(study + "hyperparameters: {last_stages: {k: 99}}\n")
    planned = plan.make(load.load(tmp_path / "parts.yaml"), tmp_path / "parts.yaml", tmp_path / "cache")
    with pytest.raises(UserError) as error:
        call(planned, tmp_path)
    message = str(error.value)
    assert message.startswith("3 things are wrong:\n- ") and message.count("\n- ") == 3
    assert "nope" in message and message.count("k is 99") == 2
    assert not (tmp_path / "mlflow.db").exists() and not (tmp_path / "cache" / "data").exists()


def test_all_datasets_that_are_wrong_are_named_before_a_source_is_trained(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for label in ("a", "b"):
            for i in range(8):
                file = tmp_path / name / label / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"no image")
    planned = made(tmp_path, SOURCES)
    text = (tmp_path / "parts.yaml").read_text()
    for name, now in (("synthetic/fine", "folder:one"), ("synthetic/glyph", "folder:two")):
        text = text.replace(f"name: {name}", f"name: 'folder:{now.partition(':')[2]}'")
    text = text.replace("options: {pool_per_class: 6, test_per_class: 2}, ", "")
    (tmp_path / "parts.yaml").write_text(text)
    planned = plan.make(load.load(tmp_path / "parts.yaml"), tmp_path / "parts.yaml", tmp_path / "cache")
    with pytest.raises(UserError) as error:
        call(planned, tmp_path)
    assert "one/" in str(error.value) and "two/" in str(error.value)
    assert not (tmp_path / "cache" / "source").exists(), "nothing has been trained"


@pytest.mark.usefixtures("unmeasured")
def test_images_for_a_source_are_decoded_as_its_runs_want_them(tmp_path: Path) -> None:
    """They are decoded before its weights are made, which say how."""
    planned = made(tmp_path, SOURCES.replace("{name: test_resnet, random: true, label: good}, ", ""))
    summary, _, _ = call(planned, tmp_path)
    assert summary.exit_code == 0
    folders = [meta.parent for meta in (tmp_path / "cache" / "data").glob("*/meta.json")]
    assert len(folders) == 3, "two targets and a source, each once"
    assert {json.loads((f / "meta.json").read_text())["dataset"] for f in folders} == {
        "synthetic/fine",
        "synthetic/glyph",
        "synthetic/source",
    }


@pytest.fixture
def failing_network() -> Iterator[Callable[[int], None]]:
    """Registers `fails_at_32` with timm, which fails on more images of 32 pixels than it is told."""
    import timm
    from timm.models import register_model
    from timm.models._registry import _model_entrypoints

    def register(at_most: int) -> None:
        def fails_at_32(pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
            net = timm.create_model("test_resnet", **kwargs)

            def refuse(module: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
                if args[0].shape[-1] == 32 and len(args[0]) > at_most:
                    raise IndexError("list index out of range")

            net.register_forward_pre_hook(refuse)
            return net

        fails_at_32.__module__ = "timm.models.resnet"
        register_model(fails_at_32)

    yield register
    _model_entrypoints.pop("fails_at_32", None)


FAILING = "[{name: fails_at_32, random: true}, {name: test_resnet, random: true}]"


def test_a_network_that_fails_in_training_alone_takes_no_other_with_it(
    tmp_path: Path, failing_network: Callable[[int], None]
) -> None:
    failing_network(2)  # as many as the check tries
    summary, _, rows = call(made(tmp_path, FAILING), tmp_path)
    by_network = {row["backbone"]: row["status"] for row in rows}
    assert by_network == {"fails_at_32": "failed", "test_resnet": "finished"} and summary.exit_code == 1


def test_a_network_that_fails_on_two_images_is_refused_by_name(
    tmp_path: Path, failing_network: Callable[[int], None]
) -> None:
    failing_network(1)
    with pytest.raises(UserError, match=r"backbone 'fails_at_32' cannot be used: .*list index out of range"):
        call(made(tmp_path, FAILING), tmp_path)
    assert not (tmp_path / "mlflow.db").exists() and not (tmp_path / "cache" / "data").exists()


def test_a_worker_that_is_killed_in_the_check_costs_its_network_alone(tmp_path: Path) -> None:
    """As by the system, where memory is short: with a real worker, and all that `bench` prints."""
    written(tmp_path, "[{name: lethal, random: true}, {name: test_resnet, random: true}]")
    with lethal.known():
        done = bench(tmp_path, "run", "parts.yaml", "--workers", "1", "--no-report", cache=tmp_path / "cache")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "this call: 4 failed, 4 finished" in done.stdout
    cause = "its worker died 2 times (signal SIGKILL; out of memory?)"
    assert f"not run     backbone lethal: checking networks and strategies failed: {cause}" in done.stdout
    rows = read("parts", f"sqlite:///{tmp_path / 'mlflow.db'}").rows
    assert {(row["backbone"], row["status"]) for row in rows} == {
        ("lethal", "failed"),
        ("test_resnet", "finished"),
    }
    assert all(cause in row["error"] for row in rows if row["backbone"] == "lethal")
    for part in (
        "importing torch, timm and MLflow",
        "checking networks and strategies",
        "preparing images",
        "running",
    ):
        assert re.search(rf"^{part}.* \.\.\.$", done.stdout, re.MULTILINE), "begun"
        assert re.search(rf"^{part}: \d+\.\d s$", done.stdout, re.MULTILINE), "ended"
    order = [line.split(":")[0].split("  ")[0] for line in done.stdout.splitlines()]
    first = order.index("finished")
    assert any(line.startswith("transferability of") for line in order[first:]), "beside the runs"
    assert not any(line.startswith("transferability of") for line in order[:first]), "after the first of them"
