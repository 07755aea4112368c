"""Names, options and folder trees are checked before anything is read, without importing torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry

HERE = Path(".")


def folder(path: Path, **options: object) -> DatasetSpec:
    return DatasetSpec(f"folder:{path}", options)


def test_planning_imports_nothing_heavy(tree) -> None:
    root = tree({"cat": 2, "dog": 2})
    code = f"""
import sys
from pathlib import Path
from bench.data import registry
from bench.core.spec import DatasetSpec
registry.describe()
for name in ["synthetic/fine", "sklearn/digits", "folder:{root}", "torch/cifar10"]:
    registry.inspect(DatasetSpec(name), Path("."))
print([m for m in ("torch", "torchvision", "timm", "sklearn", "PIL") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_describe_lists_every_family_with_its_options() -> None:
    listed = {entry["name"]: entry for entry in registry.describe()}
    assert {"synthetic/source", "synthetic/fine", "sklearn/digits", "folder:PATH", "torch/NAME"} <= set(
        listed
    )
    assert "default 0.5" in listed["synthetic/blend"]["options"]["similarity"]
    assert all(entry["summary"] for entry in listed.values())


def test_world_and_digits_are_counted() -> None:
    info = registry.inspect(DatasetSpec("synthetic/source"), HERE)
    assert (len(info.classes), info.pool_counts, info.test_count) == (40, [500] * 40, 2000)
    info = registry.inspect(DatasetSpec("synthetic/fine", {"pool_per_class": 7}), HERE)
    assert (info.pool_counts, info.test_count) == ([7] * 10, 1000)
    info = registry.inspect(DatasetSpec("sklearn/digits"), HERE)
    assert (sum(info.pool_counts), info.test_count, len(info.classes)) == (1000, 797, 10)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DatasetSpec("synthetic/fin"), "'synthetic/fin'; did you mean synthetic/fine"),
        (DatasetSpec("synthetic/fine/x"), "unknown dataset"),
        (DatasetSpec("folder:"), "unknown dataset"),
        (DatasetSpec("nonsense"), "known: .*synthetic/source"),
        (DatasetSpec("synthetic/blend", {"similarty": 1}), "'similarty'; did you mean similarity"),
        (
            DatasetSpec("synthetic/blend", {"similarity": 1.5}),
            "1.5 is not a valid value, want number from 0 to 1",
        ),
        (DatasetSpec("synthetic/blend", {"similarity": float("nan")}), "nan is not a valid value"),
        (DatasetSpec("synthetic/blend", {"alien": "glyf"}), "'glyf' .*did you mean glyph"),
        (
            DatasetSpec("synthetic/fine", {"draw": True}),
            "True is not a valid value, want whole number from 0",
        ),
        (DatasetSpec("synthetic/fine", {"draw": "1"}), "'1' is not a valid value"),
        (DatasetSpec("sklearn/digits", {"draw": 1}), "unknown option 'draw'; it has no options"),
        (DatasetSpec("tfds/mnist", {"train_split": "test"}), "same split|needs the package"),
    ],
)
def test_wrong_names_and_options_are_refused(spec: DatasetSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry.inspect(spec, HERE)


def test_folder_without_test_set_holds_out_a_share_of_each_class(tree) -> None:
    info = registry.inspect(folder(tree({"b": 10, "a": 20})), HERE)
    assert (info.classes, info.pool_counts, info.test_count) == (["a", "b"], [14, 7], 9)
    assert "held out" in info.notes[0]


def test_a_bare_path_is_told_its_prefix(tree) -> None:
    root = tree({"a": 2, "b": 2})
    with pytest.raises(UserError, match="did you mean folder:images"):
        registry.inspect(DatasetSpec(root.name), root.parent)


def test_folder_path_is_relative_to_the_base(tree) -> None:
    root = tree({"a": 2, "b": 2})
    assert registry.inspect(DatasetSpec(f"folder:{root.name}"), root.parent).classes == ["a", "b"]


def test_folder_with_its_own_test_set(tree) -> None:
    tree({"a": 3, "b": 2}, under="train")
    root = tree({"a": 2}, under="val")
    info = registry.inspect(folder(root), HERE)
    assert (info.classes, info.pool_counts, info.test_count) == (["a", "b"], [3, 2], 2)
    assert info.notes == ["the test set is the folder val/", "no test images of class b"]


def test_test_wins_over_val_and_the_unused_folder_is_reported(tree) -> None:
    for part in ("train", "val", "test"):
        root = tree({"a": 2, "b": 2}, under=part)
    info = registry.inspect(folder(root), HERE)
    assert info.notes == ["the test set is the folder test/", "folder val/ is left unused"]


def test_a_test_folder_without_classes_is_not_a_test_set(tree) -> None:
    tree({"a": 4, "b": 4}, under="train")
    root = tree({"test": 3})
    info = registry.inspect(folder(root), HERE)
    assert (info.pool_counts, info.test_count) == ([3, 3], 2)
    assert "folder test/ is left unused: 3 pictures and no class folders, so no labels" in info.notes


def test_links_are_followed(tree) -> None:
    root = tree({"a": 4, "b": 4})
    (root / "c").symlink_to(root / "b", target_is_directory=True)
    info = registry.inspect(folder(root), HERE)
    assert info.classes == ["a", "b", "c"]
