"""Study files: what is accepted, and how each mistake is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.study import load, plan
from tests.conftest import TINY_STUDY


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def make(tmp_path: Path, text: str, *overrides: str) -> plan.Plan:
    path = write(tmp_path, text)
    return plan.make(load.load(path, overrides), path, tmp_path / "cache")


def test_the_tiny_study_expands_to_its_grid(tmp_path: Path) -> None:
    planned = make(tmp_path, TINY_STUDY)
    assert len(planned.runs) == (2 + 1) * 2 * 2
    assert {r.cell for r in planned.runs} == {"similar-small", "similar-large", "dissimilar-small"}
    assert planned.rule["similar-small"] == "linear_probe"
    assert planned.rule["similar-large"] == "full + head_x10"
    assert planned.rule["dissimilar-large"] is None, "the study has no scratch"


def test_every_run_has_its_own_identity_and_it_is_stable(tmp_path: Path) -> None:
    first, second = (make(tmp_path, TINY_STUDY).runs for _ in range(2))
    assert [r.run_id for r in first] == [r.run_id for r in second]
    assert len({r.run_id for r in first}) == len(first)


def test_labels_and_defaults_leave_the_identity_alone_and_settings_do_not(tmp_path: Path) -> None:
    base = make(tmp_path, TINY_STUDY).runs[0].run_id
    assert make(tmp_path, TINY_STUDY, "datasets.0.label=other").runs[0].run_id == base
    assert make(tmp_path, TINY_STUDY, "datasets.0.similarity=dissimilar").runs[0].run_id == base
    assert make(tmp_path, TINY_STUDY, "train.warmup=0.1").runs[0].run_id == base
    assert make(tmp_path, TINY_STUDY, "train.warmup=0.2").runs[0].run_id != base
    assert make(tmp_path, TINY_STUDY, "knobs.linear_probe.lr=0.02").runs[0].run_id != base


def test_axes_expand_to_the_product_without_the_meaningless(tmp_path: Path) -> None:
    text = TINY_STUDY.replace("  - linear_probe\n", "").replace(
        "  - full + head_x10\n",
        "  - {freeze: [scratch, linear_probe, full], lr: [uniform, head_x10], regularize: [none, l2_sp]}\n",
    )
    planned = make(tmp_path, text)
    assert {s.label for s in planned.strategies} == {
        "scratch", "linear_probe", "full", "full + l2_sp", "full + head_x10", "full + head_x10 + l2_sp",
    }  # fmt: skip
    assert "nothing pretrained" in planned.left_out["scratch + l2_sp"]
    assert set(planned.left_out) >= {"scratch + head_x10", "linear_probe + head_x10", "linear_probe + l2_sp"}


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    planned = make(tmp_path, TINY_STUDY.replace("lr: 0.001", "lr: 1e-3"))
    assert planned.strategies[1].freeze.knobs["lr"] == 0.001


def test_two_names_for_one_run_are_refused(tmp_path: Path) -> None:
    text = TINY_STUDY.replace(
        "  - linear_probe\n", "  - linear_probe\n  - {use: linear_probe, label: again}\n"
    )
    with pytest.raises(UserError, match="same run under two names"):
        make(tmp_path, text)


def test_an_unknown_override_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown field"):
        make(tmp_path, TINY_STUDY, "train.epoch=3")
    with pytest.raises(UserError, match="expected key=value"):
        make(tmp_path, TINY_STUDY, "train.epochs")


MISTAKES = {  # name -> (old, new, what the message must hold)
    "unknown field": ("seeds: 2", "seeds: 2\nseed: 1", [":23:", "seed: unknown field", "seeds"]),
    "unknown nested field": ("n_per_class: [5]", "n_per_clas: [5]", [":11:", "n_per_clas", "n_per_class"]),
    "wrong type": ("epochs: 2", "epochs: many", [":23:", "train.epochs", "many"]),
    "out of range": ("epochs: 2", "epochs: 0", ["train.epochs", "0"]),
    "missing field": ("seeds: 2", "", ["seeds", "required"]),
    "unknown dataset": ("name: world/glyph", "name: world/glyf", [":8:", "world/glyf", "world/glyph"]),
    "unknown dataset option": ("options: {pool_per_class: 12, test_per_class: 5}\n    similarity: dissimilar",
                               "options: {pool: 12}\n    similarity: dissimilar", ["pool", "pool_per_class"]),
    "unknown backbone": ("name: test_resnet", "name: test_resnett", ["test_resnett", "test_resnet"]),
    "backbone without weights": ("    source: {name", "    source: null\n    kwargs: {name", ["exactly one origin", "pretrained"]),
    "unknown strategy": ("- linear_probe", "- linear_prob", ["linear_prob", "linear_probe"]),
    "unknown knob": ("full: {lr", "full: {rate", ["knob", "rate"]),
    "knob of a wrong type": ("linear_probe: {lr: 0.01}", "linear_probe: {lr: fast}", ["linear_probe.lr", "fast", "float"]),
    "negative rate": ("linear_probe: {lr: 0.01}", "linear_probe: {lr: -1}", ["linear_probe.lr", "-1"]),
    "knobs of an absent strategy": ("  full: {lr", "  scratch: {lr: 0.1}\n  full: {lr", ["scratch", "no strategy of the study uses"]),
    "meaningless composition": ("- full + head_x10", "- scratch + l2_sp", ["scratch + l2_sp", "nothing pretrained"]),
    "two freezing schedules": ("- full + head_x10", "- full + scratch", ["exactly one freezing schedule", "full and scratch"]),
    "n too large": ("n_per_class: [5, 10]", "n_per_class: [5, 500]", [":7:", "500", "12"]),
    "n too small to validate": ("n_per_class: [5]", "n_per_class: [2]", ["validation", "at least 5"]),
    "a duplicate key": ("seeds: 2", "seeds: 2\nseeds: 3", ["'seeds' stands twice"]),
    "a duplicate seed": ("seeds: 2", "seeds: [1, 1]", ["seed stands twice"]),
    "broken YAML": ("seeds: 2", "seeds: [2", ["not valid YAML"]),
    "an alias": ("seeds: 2", "seeds: &a [1]\nquestion: *a", ["aliases"]),
    "an object tag": ("seeds: 2", "seeds: !!python/object/apply:os.system [ls]", ["constructor"]),
    "a number that is none": ("lr: 0.001", "lr: .nan", ["no number"]),
    "a list as key": ("seeds: 2", "seeds: 2\n[a, b]: 1", ["a key must be a word"]),
    "a bad name": ("name: tiny", "name: ../tiny", ["letters, digits"]),
    "rule of an absent strategy": ("matrix: {", "matrix: {rule: {similar-small: scratch}, ", ["scratch", "no strategy of this study"]),
    "no such checkpoint": ("    source: {name: world/source, options: {pool_per_class: 8, test_per_class: 2}}\n    source_train: {epochs: 1}",
                           "    checkpoint: nowhere.pth", ["nowhere.pth", "no such file"]),
    "no such folder": ("- name: world/glyph\n    options: {pool_per_class: 12, test_per_class: 5}", "- name: folder:nowhere", ["nowhere"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(mistake: str, tmp_path: Path) -> None:
    old, new, says = MISTAKES[mistake]
    assert old in TINY_STUDY, "the mistake no longer fits the study"
    with pytest.raises(UserError) as caught:
        make(tmp_path, TINY_STUDY.replace(old, new, 1))
    message = str(caught.value)
    assert "study.yaml" in message
    assert all(part in message for part in says), message


def test_no_file_and_no_text(tmp_path: Path) -> None:
    write(tmp_path, TINY_STUDY)
    with pytest.raises(UserError, match=r"no such study file; did you mean study\.yaml"):
        load.load(tmp_path / "studi.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a UTF-8"):
        load.load(tmp_path / "binary.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(UserError, match="a study is a mapping"):
        load.load(tmp_path / "empty.yaml")


def test_other_images_in_a_folder_are_other_runs(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (9, 9), (i, 2 * i, 7)).save(tmp_path / "images" / name / f"{i}.png")
    text = TINY_STUDY.replace(
        "- name: world/glyph\n    options: {pool_per_class: 12, test_per_class: 5}", "- name: folder:images"
    )
    before = [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    assert before == [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    (tmp_path / "images" / "cat" / "0.png").write_bytes(b"another image")
    after = [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    assert before and not set(before) & set(after)


def test_two_sizes_that_mean_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stands here already"):
        make(tmp_path, TINY_STUDY.replace("n_per_class: [5, 10]", "n_per_class: [12, all]"))


@pytest.mark.parametrize("override", ["backbones.0.kwargs.drop_rate=.nan", "backbones.0.kwargs.x=2020-01-01"])
def test_values_that_json_does_not_know_are_refused(override: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither text, number"):
        make(tmp_path, TINY_STUDY, override)
