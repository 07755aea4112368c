"""Which folders are splits and which are classes: a table of layouts, every spelling of a split, and arbitrary trees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.folders.folder import list_images
from bench.data.folders.split_names import split_name
from tests.support.layouts import READ, REFUSED, Read, Refused, make, spelled


def inspect(root: Path, **options: object) -> registry.DatasetInfo:
    return registry.inspect(DatasetSpec(f"folder:{root}", options), root)


def below(listing_part: list[tuple[Path, int]], folder: Path) -> bool:
    return all(folder in path.parents for path, _ in listing_part)


@pytest.mark.parametrize(("train", "test"), spelled())
def test_every_spelling_of_a_split_is_one(train: str, test: str, tmp_path: Path) -> None:
    root = tmp_path / "images"
    for split, count in ((train, 3), (test, 2)):
        for name in ("cat", "dog"):
            make(root, f"{split.replace(' ', '+')}/{name}:{count}")
    found = list_images(root, 0.3)
    assert found.classes == ["cat", "dog"]
    assert (len(found.pool), len(found.test)) == (6, 4)
    assert below(found.pool, root / train) and below(found.test, root / test)
    assert found.notes == [f"the test set is the folder {test}/"]


@pytest.mark.parametrize("case", READ, ids=str)
def test_a_layout_is_read_as_stated(case: Read, tmp_path: Path) -> None:
    root = make(tmp_path / "images", case.layout)
    found = list_images(root, 0.3)
    assert " ".join(found.classes) == case.classes.replace("+", " ")
    assert len(found.pool) == case.pool
    if case.test:
        assert below(found.test, root / case.test)
        assert found.notes[0] == f"the test set is the folder {case.test}/"
    else:
        assert found.notes[0] == "no test folder: 30% of each class are held out as the test set"
    assert set(found.notes[1:]) == ({case.remark} if case.remark else set())


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_layout_is_refused_by_name_and_its_ways_out_work(case: Refused, tmp_path: Path) -> None:
    root = make(tmp_path / "images", case.layout)
    with pytest.raises(UserError) as refused:
        inspect(root)
    message = str(refused.value).replace(f"{tmp_path}/", "")
    assert message == case.message
    ways = [yaml.safe_load(text) for text in re.findall(r"options: (\{.*?\})", message)]
    if "in the study" in message:  # another folder is to be named too
        assert sorted(inspect(root / "images", **ways[0]).classes or []) == ["test", "train"]
        return
    assert tuple(" ".join(inspect(root, **way).classes or []) for way in ways) == case.ways_out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "trian"}, "option train: there is no folder 'trian'; did you mean train"),
        ({"train": "../images/train"}, "option train: '../images/train' is no folder below it"),
        ({"train": "/tmp"}, "option train: '/tmp' is no folder below it"),
        ({"train": "."}, "option train: '.' is no folder below it"),
        ({"test": "flat"}, "option test: flat has no class folders"),
        ({"train": "train", "test": "train"}, "the options train and test name the same folder"),
        ({"train": "train", "layout": "classes"}, "the option layout: classes says that there are no splits"),
        (
            {"layout": "clases"},
            "'clases' is not a valid value, want one of auto, classes; did you mean classes",
        ),
        ({"test": "none", "layout": "classes"}, "the option layout: classes says that there are no splits"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str, tmp_path: Path) -> None:
    root = make(tmp_path / "images", "train/cat train/dog test/cat test/dog flat")
    with pytest.raises(UserError, match=re.escape(message)):
        inspect(root, **options)


def test_options_name_other_folders(tmp_path: Path) -> None:
    root = make(
        tmp_path / "images",
        "train/cat:4 train/dog:4 train_augmented/cat:9 train_augmented/dog:9 test/cat:2 test/dog:2 more/cat:1 more/dog:1",
    )
    info = inspect(root, train="train_augmented")
    assert (info.pool_counts, info.test_count) == ([9, 9], 4)
    info = inspect(root, train="train", test="more")
    assert (info.pool_counts, info.test_count) == ([4, 4], 2)
    info = inspect(root, train="train", test="none")
    assert (info.pool_counts, info.test_count) == ([3, 3], 2)
    assert info.notes[0] == "no test folder: 30% of each class are held out as the test set"
    assert {"folder test/ is left unused", "folder train_augmented/ is left unused"} <= set(info.notes)


def test_options_at_their_defaults_leave_the_identity_of_a_dataset(tmp_path: Path) -> None:
    root = make(tmp_path / "images", "train/cat train/dog test/cat test/dog")
    assert inspect(root).content == inspect(root, train="train", test="test").content


WORDS = st.sampled_from(["cat", "dog", "bus", "train", "test", "val", "Training", "test tube", "train_old", "images", "a1"])  # fmt: skip
PATHS = st.lists(WORDS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(PATHS, min_size=1, max_size=6, unique=True), number=st.integers(0, 10**9))
def test_of_any_tree_no_split_becomes_a_class_without_a_word(
    paths: list[str], number: int, tmp_path: Path
) -> None:
    """Either it is refused, or every class that is named like a split is in the remarks, and no image is in two parts."""
    root = tmp_path / f"{number}-{len(list(tmp_path.iterdir()))}"
    make(root, " ".join(path.replace(" ", "+") for path in paths))
    try:
        found = list_images(root, 0.3)
    except UserError as error:
        assert str(error).startswith(str(root))
        return
    parts = {path for path, _ in found.pool}, {path for path, _ in found.test}
    assert not parts[0] & parts[1] and parts[0] and parts[1]
    for path, label in [*found.pool, *found.test]:
        assert found.classes[label] in path.relative_to(root).parts
    held_out = found.notes[0].startswith("no test folder")
    # a class `train` within the folder train/ is no split
    direct = all(path.relative_to(root).parts[0] == found.classes[label] for path, label in found.pool)
    for name in found.classes:
        split = split_name(name)
        if held_out and direct and split and split.sure:
            assert f"folder {name}/ is taken for a class, not for a split" in found.notes, found.notes


def test_two_classes_of_one_name_whose_accent_is_stored_in_two_ways_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "caf\u00e9 cafe\u0301 tea")
    with pytest.raises(UserError, match=r"'cafe\\u0301' and 'caf\\xe9' have the same name"):
        list_images(tmp_path, 0.3)
