"""What the harness does for methods that learn from unlabelled images, or from another network."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

import bench.training.run.teacher
from bench.core.errors import Diverged, UserError
from bench.core.schema import Metric
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TeacherSpec, TrainSpec
from bench.data.augment import normalise
from bench.data.images import ImageSet
from bench.data.prepare import Prepared
from bench.data.strong import strong_view, weak_view
from bench.data.task import Task
from bench.methods.api import Phase
from bench.planning import compose, load, plan
from bench.storage.places import Places
from bench.training.batches import Batches
from bench.training.device import choose
from bench.training.run import execute, ingredients, preflight
from bench.training.run.teacher import Teacher
from tests.support.strategy_samples import CLASSES, SIZE, first_phase, make_model, make_task

TRAIN = TrainSpec(
    epochs=2, batch_size=8, optimizer="adamw", precision="fp32", augment="crop", image_size=SIZE
)


def run_spec(expression: str, **changes: object) -> RunSpec:
    strategy = compose.parse(expression, {})
    return replace(
        RunSpec(DatasetSpec("any"), 10, BackboneSpec("test_resnet", "random"), strategy, 0, TRAIN), **changes
    )


def prepared(pool: int = 60) -> Prepared:
    """Noise, so that every image differs from all others."""
    generator = Generator().manual_seed(0)
    x = torch.randint(0, 256, (pool, 3, SIZE + 8, SIZE + 8), generator=generator, dtype=torch.uint8)
    return Prepared(ImageSet(x, torch.arange(pool) % CLASSES), ["a", "b", "c"], [], Path())


def contents(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


# unlabelled images


@pytest.mark.parametrize("n", [5, 10, 19])
def test_unlabelled_are_all_images_of_the_pool_that_are_in_no_split(n: int) -> None:
    data = prepared()
    task = ingredients.make_task(data, run_spec("full + fixmatch", n_per_class=n))
    assert isinstance(task.unlabeled, Tensor) and task.unlabeled.dtype == torch.uint8, "images, and no labels"
    train, val, unlabeled = map(contents, (task.train.x, task.val.x, task.unlabeled))
    assert len(unlabeled) == len(task.unlabeled) == 60 - 3 * n
    assert unlabeled | train | val == contents(data.pool.x)
    assert not (unlabeled & train or unlabeled & val or train & val)


def test_a_strategy_that_does_not_ask_gets_no_unlabelled_images() -> None:
    assert ingredients.make_task(prepared(), run_spec("full + l2_sp")).unlabeled is None


def test_a_dataset_that_is_labelled_throughout_has_none_to_give() -> None:
    task = ingredients.make_task(prepared(), run_spec("full + pseudo_label", n_per_class="all"))
    batches = Batches(task, TRAIN, torch.device("cpu"), 0)
    model = make_model("test_resnet")
    with pytest.raises(UserError, match="use a smaller n_per_class"):
        next(batches.epoch(model, first_phase("full + pseudo_label", model)))
    with pytest.raises(UserError, match='n_per_class "all" leaves none'):
        preflight.preflight(
            run_spec("full + pseudo_label", n_per_class="all"), CLASSES, Places(Path("."), Path(".")), model
        )


def test_labelled_batches_are_the_same_with_and_without_unlabelled_ones_beside_them() -> None:
    model = make_model("test_resnet")
    task = ingredients.make_task(prepared(), run_spec("full + fixmatch"))
    seen = []
    for unlabeled in (0, 3):
        batches = Batches(task, TRAIN, torch.device("cpu"), seed=7)
        phase = Phase("p", 2, model.groups(0.1), unlabeled=unlabeled)
        seen.append([b for _ in range(2) for b in batches.epoch(model, phase)])
    alone, beside = seen
    assert len(alone) == len(beside) == 2 * 3
    for a, b in zip(alone, beside, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and torch.equal(a.index, b.index)
        assert a.weak is None and a.strong is None
        assert b.weak.shape == b.strong.shape == (3 * 8, 3, SIZE, SIZE)


def test_unlabelled_batches_are_those_of_the_seed_and_new_in_every_step() -> None:
    model = make_model("test_resnet")
    task = ingredients.make_task(prepared(), run_spec("full + fixmatch"))
    phase = Phase("p", 1, model.groups(0.1), unlabeled=1)

    def views(seed: int) -> list[Tensor]:
        batches = Batches(task, TRAIN, torch.device("cpu"), seed)
        return [view for b in batches.epoch(model, phase) for view in (b.weak, b.strong)]

    first, again, other = views(1), views(1), views(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[2])


@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_views_have_the_models_shape_and_normalisation_and_follow_the_generator(view) -> None:
    model, x = make_model("test_resnet"), prepared().pool.x[:6]
    first, again, other = (view(x, "crop", model, Generator().manual_seed(s)) for s in (0, 0, 1))
    assert first.shape == (6, 3, SIZE, SIZE) and first.dtype == torch.float32
    assert torch.equal(first, again) and not torch.equal(first, other)
    low, high = (
        torch.tensor([(v - m) / s for m, s in zip(model.mean, model.std, strict=True)])[:, None, None]
        for v in (0.0, 1.0)
    )
    assert (first >= low - 1e-4).all() and (first <= high + 1e-4).all()


@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_each_image_of_a_batch_is_changed_in_its_own_way(view) -> None:
    model, x = make_model("test_resnet"), prepared().pool.x[:1].expand(8, -1, -1, -1)
    views = view(x, "crop", model, Generator().manual_seed(0))
    assert len(contents(views)) == 8


def test_strong_views_are_distorted_much_more_than_weak_ones() -> None:
    """Share of pixels of a flat grey image that are no longer that grey: a crop changes none of them."""
    model = make_model("test_resnet")
    x = torch.full((32, 3, SIZE + 8, SIZE + 8), 60, dtype=torch.uint8)
    same = normalise(x[:, :, :SIZE, :SIZE], model.mean, model.std)
    weak, strong = (v(x, "crop", model, Generator().manual_seed(0)) for v in (weak_view, strong_view))
    changed_weak, changed_strong = (
        ((v - same).abs().amax(1) > 0.1).flatten(1).float().mean(1) for v in (weak, strong)
    )
    assert changed_weak.max() == 0
    assert changed_strong.min() > 0.01, "at least the cut-out square"
    assert changed_strong.mean() > 0.1
    tones = strong.flatten(2).median(dim=2).values  # of what is no border and not cut out
    assert len(contents(tones)) > 3, "each image has a distortion of its own"


def test_only_mirrored_studies_mirror_their_unlabelled_images() -> None:
    """A glyph in the mirror is another glyph."""
    model = make_model("test_resnet")
    x = torch.zeros(64, 3, SIZE, SIZE, dtype=torch.uint8)
    x[..., SIZE // 2 :] = 255  # bright to the right
    right = {}
    for kind in ("none", "flip", "crop"):
        views = weak_view(x, kind, model, Generator().manual_seed(0))
        half = SIZE // 2
        right[kind] = (
            (views[..., half:].mean((1, 2, 3)) > views[..., :half].mean((1, 2, 3))).float().mean().item()
        )
    assert right["none"] == 1
    assert 0.3 < right["flip"] < 0.7 and 0.3 < right["crop"] < 0.7


@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_views_leave_torchs_own_random_state_as_it_was(view) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    view(prepared().pool.x[:4], "crop", make_model_apart(), Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def make_model_apart():
    with torch.random.fork_rng(devices=[]):
        return make_model("test_resnet")


# teachers

STUDY = """
name: taught
datasets:
  - {name: synthetic/fine, options: {pool_per_class: 8, test_per_class: 2}, similarity: similar, n_per_class: 5}
backbones:
  - {name: test_resnet, random: true}
teachers:
  - {name: test_efficientnet, random: true, label: wise}
strategies:
  - full + distill
hyperparameters:
  full: {lr: 0.001}
  distill: {teacher: wise, teacher_lr: 0.003}
seeds: 1
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 16, epochs: 1}
system_metrics: false
"""


def planned(tmp_path: Path, text: str = STUDY, *overrides: str) -> plan.Plan:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return plan.make(load.load(path, overrides), path, tmp_path / "cache")


def one_run(tmp_path: Path, text: str = STUDY, *overrides: str) -> RunSpec:
    (run,) = planned(tmp_path, text, *overrides).runs
    return run.spec


def test_a_teacher_is_named_by_its_label_and_fully_fine_tuned_at_its_own_rate(tmp_path: Path) -> None:
    teacher = one_run(tmp_path).teacher
    assert teacher.backbone.name == "test_efficientnet"
    assert (teacher.strategy.freeze.name, teacher.strategy.freeze.hyperparameters) == ("full", {"lr": 0.003})
    own = one_run(tmp_path, STUDY.replace("teacher: wise, ", "")).teacher
    assert own.backbone.name == "test_resnet", "without a name it is the student's own architecture"


def test_an_unknown_teacher_is_explained_with_the_nearest_names(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"study\.yaml: distill\.teacher: 'wyse' is none .* did you mean wise"
    ):
        planned(tmp_path, STUDY, "hyperparameters.distill.teacher=wyse")


def test_another_teacher_is_another_run_and_another_name_for_it_is_not(tmp_path: Path) -> None:
    base = one_run(tmp_path).run_id
    renamed = STUDY.replace("wise", "sage")
    assert one_run(tmp_path, renamed).run_id == base
    for old, new in [
        ("name: test_efficientnet", "name: test_convnext"),
        ("teacher: wise, ", ""),
        ("teacher_lr: 0.003", "teacher_lr: 0.004"),
        ("random: true, label: wise", "random: true, kwargs: {drop_rate: 0.1}, label: wise"),
    ]:
        assert old in STUDY
        assert one_run(tmp_path, STUDY.replace(old, new)).run_id != base, new


def test_a_teacher_by_name_and_the_same_one_by_default_are_one_run(tmp_path: Path) -> None:
    named = STUDY.replace("teacher: wise", "teacher: test_resnet")
    assert one_run(tmp_path, named).run_id == one_run(tmp_path, STUDY.replace("teacher: wise, ", "")).run_id


def test_a_run_without_a_teacher_has_none_in_its_identity() -> None:
    assert "teacher" not in run_spec("full").identity()


def make_teacher(tmp_path: Path, lr: float = 3e-3, task: Task | None = None) -> Teacher:
    backbone = BackboneSpec("test_resnet", "random")
    strategy = compose.parse("full", {"full": {"lr": lr}})
    spec = run_spec("full + distill", teacher=TeacherSpec(backbone, strategy)).teaching()
    return Teacher(spec, make_model("test_resnet"), task or make_task(), choose(TRAIN), tmp_path)


def no_training(*args: object, **kwargs: object) -> None:
    raise AssertionError("it is trained again")


def test_a_teacher_is_trained_once_and_read_from_its_file_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = {k: v.clone() for k, v in make_model("test_resnet").net.state_dict().items()}
    first = make_teacher(tmp_path)
    weights = {k: v.cpu() for k, v in first().net.state_dict().items()}
    assert all(not torch.equal(v, start[k]) for k, v in weights.items() if k.endswith("weight"))
    monkeypatch.setattr(bench.training.run.teacher, "Trainer", no_training)
    second = make_teacher(tmp_path)
    model = second()
    assert all(torch.equal(v.cpu(), weights[k]) for k, v in model.net.state_dict().items())
    assert second.seconds == first.seconds > 0
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    with pytest.raises(AssertionError, match="trained again"):
        make_teacher(tmp_path, lr=1e-3)()


def test_a_teacher_knows_its_task(tmp_path: Path) -> None:
    task = make_task(epochs=6)
    teacher = make_teacher(tmp_path, task=task)()
    batches = list(task.batches(teacher))
    right = [(teacher(b.x).argmax(-1) == b.y).float().mean().item() for b in batches]
    assert sum(right) / len(right) > 0.8


def test_a_teacher_that_diverges_says_who_did(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="its teacher"):
        make_teacher(tmp_path, lr=1e18)()
    assert not list(tmp_path.glob("teachers/*.safetensors*"))


def test_a_network_with_another_normalisation_sees_the_same_images() -> None:
    student, teacher = make_model("test_resnet").eval(), make_model("test_vit", seed=3).eval()
    teacher.mean, teacher.std = (0.2, 0.3, 0.4), (0.15, 0.25, 0.35)
    raw = prepared().pool.x[:5, :, :SIZE, :SIZE]
    x = normalise(raw, student.mean, student.std)
    seen = teacher.see(x, student)
    torch.testing.assert_close(seen, teacher(normalise(raw, teacher.mean, teacher.std)), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(seen, teacher(x), rtol=1e-2, atol=1e-2), "the sample says nothing"
    assert torch.equal(student.see(x, student), student(x))


def executed(spec: RunSpec, tmp_path: Path) -> execute.Outcome:
    return execute.execute(spec, Places(tmp_path, tmp_path / "cache"), lambda *args: None)


def test_a_study_trains_its_teacher_in_the_first_run_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one_run(tmp_path)
    first = executed(spec, tmp_path).metrics
    (file,) = (tmp_path / "cache" / "teachers").glob("*.safetensors")
    monkeypatch.setattr(bench.training.run.teacher, "Trainer", no_training)
    second = executed(spec, tmp_path).metrics
    assert first[Metric.TEACHER_SECONDS] == second[Metric.TEACHER_SECONDS] > 0
    for name in (Metric.TEST_ACCURACY, Metric.TEST_NLL, Metric.VAL_ACCURACY):
        assert first[name] == second[name], "whether the teacher was there already must not change a result"
    assert list((tmp_path / "cache" / "teachers").glob("*.safetensors")) == [file]
    assert (
        Metric.TEACHER_SECONDS
        not in executed(replace(spec, teacher=None, strategy=plain()), tmp_path).metrics
    )


def plain():
    return compose.parse("full", {"full": {"lr": 1e-3}})


def test_the_teachers_training_is_no_part_of_the_runs_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the run that happens to come first would be the most expensive one."""
    events = []
    train, start = Teacher._train, execute.MemoryMeter.start
    monkeypatch.setattr(Teacher, "_train", lambda self, path: (events.append("teacher"), train(self, path)))
    monkeypatch.setattr(execute.MemoryMeter, "start", lambda self: (events.append("meters"), start(self)))
    executed(one_run(tmp_path), tmp_path)
    assert events == ["teacher", "meters"]


def test_a_teacher_of_images_that_were_decoded_otherwise_is_another_one(tmp_path: Path) -> None:
    """Students with other crops or sizes hand their teachers other images: a file must not be shared between them."""
    spec, places = one_run(tmp_path), Places(tmp_path, tmp_path / "cache")
    task, precision = make_task(), choose(TRAIN)

    def identity(**data_config: object) -> str:
        student = dataclasses.replace(spec.backbone, data_config=data_config)
        return ingredients.make_teacher(replace(spec, backbone=student), task, precision, places).spec.run_id

    usual = identity()
    assert identity(mean=[0.1, 0.2, 0.3]) == usual, "the student's normalisation is its own affair"
    assert len({usual, identity(crop_pct=0.7), identity(interpolation="nearest")}) == 3


def test_a_model_can_be_copied_without_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers, references and teachers are copies of the model: the images of the task must not come along."""
    copied = []
    monkeypatch.setattr(
        ImageSet, "__deepcopy__", lambda self, memo: copied.append(self) or self, raising=False
    )
    spec = one_run(
        tmp_path,
        STUDY.replace("full + distill", "full + mean_teacher + bi_tuning").replace(
            "  distill: {teacher: wise, teacher_lr: 0.003}\n", ""
        ),
    )
    executed(spec, tmp_path)
    assert not copied
