"""`precision: auto`: what is measured, kept and chosen; one choice for all strategies, and part of what a run is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core import devices
from bench.core.devices import Processor
from bench.core.records.runs import RunRecord
from bench.core.records.study import BackboneRecord, MatrixRecord, StudyRecord
from bench.core.schema import Tag
from bench.core.spec import BackboneSpec, DatasetSpec, TrainSpec
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.execution import driver
from bench.execution.executors.inline import InlineExecutor
from bench.execution.pending_measures import Measures
from bench.models.build import build
from bench.planning import load, plan, precision
from bench.planning.precision import Choice, Key, Timing
from bench.storage.places import Places
from bench.tracking import store
from bench.training import precision_timing
from bench.training.device import choose
from bench.training.precision_timing import HOPELESS, PILOT, SECONDS, compare
from bench.training.run.ingredients import prepare_dataset
from reports.sections import protocol
from tests.conftest import TINY_STUDY
from tests.support.displays import Says
from tests.support.specs import SPEC
from tests.support.strategy_samples import TRAIN, composed, make_trainer

AUTO = TINY_STUDY.replace("precision: fp32, ", "")
OLD_ID = "0bfb273882f71fbe"
"""Of SPEC before precision were measured, when "auto" was fp32 on a CPU."""

BACKBONE = BackboneSpec("test_resnet", "random", label="net")
SMALL = TrainSpec(image_size=32, batch_size=8)
KEY = Key("test_resnet", {}, 32, 8, "a device", "a version")


class Fake:
    """A network whose steps take as long as is said, by format and image, and their first `cold` seconds longer."""

    def __init__(self, fp32: float, bf16: float, cold: float = 0.0, flat: bool = False) -> None:
        self.seconds, self.cold, self.flat = {"fp32": fp32, "bf16": bf16}, cold, flat
        self.asked: list[tuple[str, int]] = []

    def __call__(self, dtype: str, images: int) -> float:
        first = (dtype, images) not in self.asked
        self.asked.append((dtype, images))
        return self.seconds[dtype] * (1 if self.flat else images) + self.cold * first


@pytest.fixture(autouse=True)
def a_machine_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_name", lambda: None)
    monkeypatch.setattr(devices, "processor", lambda: Processor("a processor", True))


def test_the_faster_format_is_chosen() -> None:
    assert compare(Fake(1e-3, 0.6e-3), 32).choice() == Choice("bf16", "a step in bf16 is 1.67 x as fast here")
    assert compare(Fake(1e-3, 1.4e-3), 32).choice() == Choice("fp32", "a step in bf16 is 0.71 x as fast here")


@pytest.mark.parametrize(("bf16", "chosen"), [(0.95, "fp32"), (0.92, "fp32"), (0.90, "bf16")])
def test_bf16_must_win_by_a_margin(bf16: float, chosen: str) -> None:
    assert compare(Fake(1e-3, bf16 * 1e-3), 32).choice().dtype == chosen


def test_formats_take_turns_and_first_steps_do_not_count() -> None:
    step = Fake(1e-3, 0.5e-3, cold=9e-2)
    assert compare(step, 32) == pytest.approx(Timing(32e-3, 16e-3, 32), abs=1e-9)
    asked = [dtype for dtype, images in step.asked if images == 32][1:]
    assert asked[-4:] == ["fp32", "bf16", "fp32", "bf16"]


def test_long_steps_are_cut_and_hopeless_ones_given_up() -> None:
    slow = Fake(0.05, 0.03)
    assert compare(slow, 256).images == 32
    assert sum(slow.seconds[dtype] * images for dtype, images in slow.asked) < 4 * SECONDS
    hopeless = Fake(0.05, 0.05 * HOPELESS * 1.1)
    assert compare(hopeless, 256).images == PILOT and {n for _, n in hopeless.asked} == {PILOT}


def test_a_device_that_few_images_leave_idle_is_measured_at_the_whole_batch() -> None:
    assert compare(Fake(0.02, 0.015, flat=True), 256).images == 256


def test_what_any_step_costs_does_not_choose() -> None:
    """As mobileone_s0: on two images bf16 is faster, on thirty-two it is not."""

    def step(dtype: str, images: int) -> float:
        return {"fp32": 0.09 + images * 0.009, "bf16": 0.06 + images * 0.015}[dtype]

    found = compare(step, 64)
    assert found.images == 64 and found.choice().dtype == "fp32"


def test_two_rounds_at_least_so_that_neither_format_meets_new_memory() -> None:
    step = Fake(2.0, 1.9, cold=3.0)
    assert compare(step, 64) == Timing(4.0, 3.8, PILOT)


def test_a_network_without_bf16_kernels_stays_in_fp32() -> None:
    def step(dtype: str, images: int) -> float:
        if dtype == "bf16":
            raise RuntimeError('"a_kernel" not implemented for BFloat16\nand a traceback')
        return 1e-3

    assert compare(step, 32).choice() == Choice(
        "fp32", 'bf16 fails here: "a_kernel" not implemented for BFloat16'
    )


def test_a_real_network_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = precision_timing.decide(KEY, BACKBONE, Path("."), tmp_path)
    assert found.fp32 > 0 and found.bf16 and found.bf16 > 0 and 2 <= found.images <= 8
    monkeypatch.setattr(precision_timing, "measure", None)  # nothing is measured again
    assert (
        precision_timing.decide(KEY, BACKBONE, Path("."), tmp_path) == found == precision.read(KEY, tmp_path)
    )
    stored = json.loads(KEY.path(tmp_path).read_text())
    assert stored["of"]["device"] == "a device" and stored["threads"] == torch.get_num_threads()
    assert [p.name for p in KEY.path(tmp_path).parent.iterdir() if p.is_file()] == [KEY.path(tmp_path).name]


def test_what_decides_is_in_the_key_and_what_does_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key.of(BACKBONE, SMALL)
    assert key == Key.of(replace(BACKBONE, label="again", weights="pretrained"), replace(SMALL, epochs=99))
    assert key != Key.of(replace(BACKBONE, kwargs={"width": 2}), SMALL)
    assert key != Key.of(BACKBONE, replace(SMALL, image_size=64))
    assert key != Key.of(BACKBONE, replace(SMALL, batch_size=16))
    own = replace(SMALL, image_size=None)
    assert Key.of(BACKBONE, own) != Key.of(replace(BACKBONE, data_config={"image_size": 96}), own)
    monkeypatch.setattr(devices, "gpu_name", lambda: "a GPU")
    assert key != Key.of(BACKBONE, SMALL)


def test_a_processor_without_bf16_needs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert precision.choose(BACKBONE, SMALL, tmp_path) is None
    monkeypatch.setattr(devices, "processor", lambda: Processor("old", False))
    choice = precision.choose(BACKBONE, SMALL, tmp_path)
    assert choice and choice.dtype == "fp32"
    monkeypatch.setattr(devices, "gpu_name", lambda: "a GPU")
    assert precision.choose(BACKBONE, SMALL, tmp_path) is None, "the GPU trains, whatever the processor has"


@pytest.mark.parametrize(
    ("text", "bf16"),
    [
        ("processor: 0\nmodel name : A CPU\nflags : fpu avx2 avx512_bf16\n\nprocessor: 1", True),
        ("processor: 0\nmodel name : A CPU\nflags : fpu avx2 avx512f\n\nprocessor: 1", False),
        ("processor: 0\nCPU part : 0xd0c\nFeatures : fp asimd bf16\n", True),
        ("", None),
    ],
)
def test_processors_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, bf16: bool | None
) -> None:
    monkeypatch.undo()
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    found = devices.processor()
    assert found.bf16 is bf16 and found.name
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "absent")
    assert devices.processor().bf16 is None


def test_fp32_runs_keep_the_ids_they_had_and_bf16_runs_are_others() -> None:
    def of(**train: Any) -> str:
        return replace(SPEC, train=replace(SPEC.train, **train)).run_id

    assert of() == of(precision="fp32") == OLD_ID
    assert of(precision="bf16") == "4f307037b26f470e"


def made(folder: Path, text: str = AUTO, *overrides: str) -> plan.Plan:
    path = folder / "tiny.yaml"
    path.write_text(text)
    return plan.make(load.load(path, overrides), path, folder / "cache")


def remember(planned: plan.Plan, ratio: float) -> None:
    for backbone in planned.backbones:
        key = Key.of(backbone, planned.study.train)
        path = key.path(planned.cache)
        path.parent.mkdir(parents=True, exist_ok=True)
        precision_timing._write(key, Timing(1.0, 1 / ratio, 16), path)


def test_the_plan_resolves_what_was_measured(tmp_path: Path) -> None:
    before = made(tmp_path)
    assert [b.label for b in before.undecided] == ["test_resnet"]
    ids = {r.run_id for r in before.runs}
    remember(before, 0.8)
    as_fp32 = made(tmp_path)
    assert not as_fp32.undecided and {r.spec.train.precision for r in as_fp32.runs} == {"fp32"}
    assert {r.run_id for r in as_fp32.runs} == ids == {r.run_id for r in made(tmp_path, TINY_STUDY).runs}
    remember(before, 1.7)
    as_bf16 = made(tmp_path)
    assert {r.spec.train.precision for r in as_bf16.runs} == {"bf16"}, "one choice for all strategies"
    assert not {r.run_id for r in as_bf16.runs} & ids
    assert {r.run_id for r in as_bf16.runs} == {
        r.run_id for r in made(tmp_path, AUTO, "train.precision=bf16").runs
    }
    assert not made(tmp_path, TINY_STUDY).precision, "a study that names its format is not measured"


def test_searches_and_teachers_follow(tmp_path: Path) -> None:
    text = AUTO.replace("  - linear_probe\n", "  - full + distill\n") + "tune: {trials: 2}\n"
    text = text.replace("  linear_probe: {lr: 0.01}\n", "")
    before = made(tmp_path, text)
    remember(before, 1.7)
    after = made(tmp_path, text)
    assert len(after.tunings) == len(before.tunings) and not set(after.tunings) & set(before.tunings)
    specs = [r.tuning.trial({}, 1) for r in after.runs if r.tuning]
    assert {s.train.precision for s in specs} == {"bf16"}
    teaching = {s.teaching().train.precision for s in specs if s.teacher}
    assert teaching == {"bf16"}


def run(planned: plan.Plan, folder: Path) -> tuple[list[str], list[RunRecord]]:
    view, uri = Says(), f"sqlite:///{folder / 'mlflow.db'}"
    summary = driver.run_study(planned, uri, InlineExecutor, view, folder / "out")
    assert summary.exit_code == 0
    return view.said, [r for r in store.read_runs(uri, "tiny") if r.tags[Tag.PURPOSE] == "final"]


def test_a_study_measures_once_and_its_runs_say_what_they_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report = driver._write_report
    monkeypatch.setattr(driver, "_write_report", lambda *_: None)
    monkeypatch.setattr(Measures, "jobs", lambda *_: [])  # of similarity, which take most of the time
    monkeypatch.setattr(Measures, "settled", True)
    few = (
        "datasets=[{name: synthetic/fine, options: {pool_per_class: 12, test_per_class: 2}, similarity: similar, "
        "n_per_class: 5}]",
        "backbones=[{name: test_resnet, random: true}]",
        "train.epochs=1",
    )
    _, first = run(made(tmp_path, TINY_STUDY, *few, "seeds=1"), tmp_path)
    assert {r.tags[Tag.PRECISION] for r in first} == {"fp32"} and len(first) == 2
    monkeypatch.setattr(precision_timing, "measure", None)
    _, runs = run(made(tmp_path, AUTO, *few, "seeds=1"), tmp_path)
    assert len(runs) == 2, "nothing to run, nothing measured"

    monkeypatch.setattr(precision_timing, "measure", lambda *_: Timing(1.7, 1.0, 16))
    monkeypatch.setattr(driver, "_write_report", write_report)
    said, runs = run(made(tmp_path, AUTO, *few), tmp_path)
    assert "test_resnet: precision bf16 (a step in bf16 is 1.70 x as fast here)" in said
    assert any(line.startswith("2 stored run(s) in fp32 do not count") for line in said)
    new = [r for r in runs if r.tags[Tag.PRECISION] == "bf16"]
    assert len(new) == 4 and {r.params["train.precision"] for r in new} == {"bf16"}
    assert {r.tags[Tag.STRATEGY] for r in new} == {"linear_probe", "full + head_x10"}
    report = (tmp_path / "out" / "tiny" / "report.md").read_text()
    assert "`auto`: `bf16` on `test_resnet` (a step in bf16 is 1.70 x as fast here)" in report
    assert "precision: bf16 (4 runs)" in report

    monkeypatch.setattr(precision_timing, "measure", None)  # the choice is kept
    monkeypatch.setattr(driver, "_write_report", lambda *_: None)
    said, again = run(made(tmp_path, AUTO, *few, "seeds=3"), tmp_path)
    assert len(again) == len(runs) + 2 and not any("precision" in line for line in said)


def test_reports_of_older_studies_show_what_they_asked_for() -> None:
    net = BackboneRecord("net", "random", label="net")
    study = StudyRecord("s", MatrixRecord(50, 0.01, {}), (), (net,), (), (), train=TrainSpec(epochs=3))
    shown = dict(protocol.settings(study))
    assert shown["epochs"] == "`3`" and shown["precision"] == "`auto`" and "fit" not in shown


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    places = Places(Path("."), tmp_path_factory.mktemp("cache"))
    return prepare_dataset(DatasetSpec("sklearn/digits"), BACKBONE, 16, places).pool


@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_training_in_bf16_agrees_with_fp32(network: str, digits: ImageSet) -> None:
    """bf16 keeps 8 bits of a product; weights, optimiser and sums stay in fp32."""
    train, val = digits.subset(torch.arange(320)), digits.subset(torch.arange(320, 720))
    curves, accuracies = {}, {}
    for name in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = build(BackboneSpec(network, "random"), 10, 16).to(memory_format=torch.channels_last)
        settings = replace(TRAIN, precision=name, batch_size=32)
        assert choose(settings).dtype == precision_timing.DTYPES[name]
        trainer, log = make_trainer(model, Task(train, val, 10, 6, 32), settings)
        trainer.run(composed("full", full={"lr": 1e-3}))
        curves[name] = torch.tensor([epoch["train/loss"] for epoch in log])
        accuracies[name] = log[-1]["val/accuracy"]
        assert all(p.dtype == torch.float32 for p in model.parameters())
    assert curves["fp32"][-1] < 0.5 * curves["fp32"][0] and accuracies["fp32"] > 0.75, "it learns"
    torch.testing.assert_close(curves["bf16"], curves["fp32"], atol=0.05, rtol=0.1)
    assert abs(accuracies["bf16"] - accuracies["fp32"]) < 0.05
