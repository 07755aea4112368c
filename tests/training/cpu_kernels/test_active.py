"""`train.cpu_kernels`: when our kernels stand in for torch's, and what the plan, the identity and the store say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from bench.cli.console import show_plan
from bench.core.compat import VersionRange
from bench.core.errors import UserError
from bench.core.schema import Tag
from bench.core.spec import TrainSpec
from bench.execution import state
from bench.planning import cpu_kernels, load, plan
from bench.tracking.runs import run_tags
from bench.training.cpu_kernels import convolutions
from bench.training.cpu_kernels.active import cpu_kernels_of
from tests.conftest import TINY_STUDY
from tests.support.specs import SPEC
from tests.support.strategy_samples import TRAIN, composed, make_model, make_task, make_trainer
from tests.support.trained_searches import ROW

OFF = replace(TRAIN, cpu_kernels="off")


def replaced(train: TrainSpec) -> bool:
    own = nn.Conv2d._conv_forward
    with cpu_kernels_of(train):
        return nn.Conv2d._conv_forward is not own


def test_they_are_on_unless_a_study_says_off() -> None:
    assert replaced(TrainSpec()) and not replaced(OFF)
    assert (cpu_kernels.state(TrainSpec()), cpu_kernels.state(OFF)) == ("on", "off")


@pytest.mark.parametrize("torch_version", ["2.11.0", "2.12.1+cpu", "2.14.0.dev20270101", "3.0"])
def test_they_are_off_by_themselves_with_a_torch_that_nobody_tried(torch_version: str) -> None:
    assert cpu_kernels.state(TrainSpec(), torch_version) == f"off: tested with {cpu_kernels.TESTED} only"
    assert cpu_kernels.state(OFF, torch_version) == "off"


def test_torchs_own_compute_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_kernels, "TESTED", VersionRange("torch", "1.0", "1.1"))
    assert not replaced(TrainSpec())


@pytest.mark.parametrize("setting", ["auto", "off"])
def test_the_loop_trains_with_what_the_study_asks_for(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []

    def never(*args: object) -> bool:
        asked.append(torch.float32)
        return False

    monkeypatch.setattr(convolutions, "taken", never)
    train = replace(TRAIN, epochs=1, cpu_kernels=setting)
    trainer, _ = make_trainer(make_model("test_resnet"), make_task(), train)
    trainer.run(composed("full"))
    assert bool(asked) == (setting == "auto")


def test_auto_is_no_part_of_a_runs_identity_and_off_is() -> None:
    assert "cpu_kernels" not in SPEC.identity()["train"]
    off = replace(SPEC, train=replace(SPEC.train, cpu_kernels="off"))
    assert off.identity()["train"]["cpu_kernels"] == "off" and off.run_id != SPEC.run_id


def test_each_run_says_what_it_was_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ROW.under(SPEC.run_id)
    assert run_tags(row, SPEC)[Tag.CPU_KERNELS] == "on"
    monkeypatch.setattr(cpu_kernels, "TESTED", VersionRange("torch", "1.0", "1.1"))
    assert run_tags(row, SPEC)[Tag.CPU_KERNELS] == "off: tested with torch 1.0 to 1.1 only"


def planned(tmp_path: Path, setting: str) -> plan.Plan:
    path = tmp_path / "s.yaml"
    path.write_text(TINY_STUDY.replace("train: {", f"train: {{cpu_kernels: {setting}, "))
    return plan.make(load.load(path), path, tmp_path)


def test_a_study_says_off_as_a_word(tmp_path: Path) -> None:
    assert planned(tmp_path, "off").study.train.cpu_kernels == "off"
    with pytest.raises(UserError, match="cpu_kernels"):
        planned(tmp_path, "on")


def test_the_plan_says_once_that_they_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(setting: str) -> str:
        console = Console(record=True, width=200)
        made = planned(tmp_path, setting)
        show_plan(console, state.State(made, [], [], [], [], None), 1)  # type: ignore[arg-type]
        return console.export_text()

    assert "CPU kernels" not in shown("auto") + shown("off")
    monkeypatch.setattr(cpu_kernels, "TESTED", VersionRange("torch", "1.0", "1.1"))
    said = "CPU kernels off: tested with torch 1.0 to 1.1 only; torch's own are used"
    assert shown("auto").count(said) == 1 and "CPU kernels" not in shown("off")
