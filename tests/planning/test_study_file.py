"""Study files: what is accepted. What is refused, and with which message: `tests.corpus.studies`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.planning import load, plan
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
    assert make(tmp_path, TINY_STUDY, "hyperparameters.linear_probe.lr=0.02").runs[0].run_id != base


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
    assert planned.strategies[1].freeze.hyperparameters["lr"] == 0.001


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


def test_other_images_in_a_folder_are_other_runs(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (9, 9), (i, 2 * i, 7)).save(tmp_path / "images" / name / f"{i}.png")
    text = TINY_STUDY.replace(
        "- name: synthetic/glyph\n    options: {pool_per_class: 12, test_per_class: 5}",
        "- name: folder:images",
    )
    before = [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    assert before == [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    (tmp_path / "images" / "cat" / "0.png").write_bytes(b"another image")
    after = [r.run_id for r in make(tmp_path, text).runs if r.dataset == "images"]
    assert before and not set(before) & set(after)


def test_two_sizes_that_mean_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stands here already"):
        make(tmp_path, TINY_STUDY.replace("n_per_class: [5, 10]", "n_per_class: [12, all]"))
