"""Images that cannot be read: all named at once, with the way to go on without them, which works."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.decoding.damaged import HINT
from bench.data.prepare import Resolution, load, load_test, prepare
from tests.corpus.case import study
from tests.corpus.images import png, text_bomb, wrong_checksum
from tests.support.commands import bench
from tests.support.image_samples import random_image

HERE = Path(".")
SMALL = Resolution(8, 10)
Damage = Callable[[Path], object]


def cut(share: float) -> Damage:
    def write(path: Path) -> None:
        kind = {".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP"}.get(path.suffix, path.suffix[1:].upper())
        random_image(7).resize((64, 64)).save(path, kind)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def cut_of_16_bits(path: Path) -> None:
    Image.new("I;16", (64, 64), 4000).save(path)
    path.write_bytes(path.read_bytes()[:80])


DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "no bytes": ("x.png", lambda p: p.write_bytes(b""), "not an image"),
    "a page of the web": ("x.jpg", lambda p: p.write_bytes(b"<!doctype html>"), "not an image"),
    "a pointer of Git LFS": ("x.jpg", lambda p: p.write_bytes(b"version https://git-lfs"), "not an image"),
    **{f"a truncated {end}": (f"x.{end}", cut(0.6), "not a readable image") for end in ("jpg", "png", "webp", "bmp", "tif")},
    "16 bits, truncated": ("x.png", cut_of_16_bits, "not a readable image"),
    "a header and no more": ("x.jpg", lambda p: p.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "not a"),
    "a bomb": ("x.png", lambda p: p.write_bytes(png(50_000, 50_000)), "not a readable image (Image size"),
    "a bomb of text": ("x.png", text_bomb, "not a readable image"),
    "a wrong checksum": ("x.png", wrong_checksum, "not a readable image"),
}  # fmt: skip


@pytest.fixture
def broken(tree: Callable[..., Path]) -> Path:
    """Two classes of 8 good images, and one of each damage, in turn."""
    root = tree({"cat": 8, "dog": 8})
    for i, (name, damage, _) in enumerate(DAMAGES.values()):
        damage(root / ("cat", "dog")[i % 2] / f"bad{i:02}{Path(name).suffix}")
    return root


def test_all_are_named_with_their_reasons(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prepare(DatasetSpec(f"folder:{broken}"), SMALL, HERE, tmp_path / "cache")
    *lines, last = str(error.value).splitlines()
    assert last == f"{len(DAMAGES)} damaged images. {HINT}"
    told = {re.findall(r"/(?:cat|dog)/bad(\d+)\.\w+: ", line)[0]: line for line in lines}
    assert lines == sorted(lines)
    assert len(told) == len(DAMAGES)
    for i, (_, _, reason) in enumerate(DAMAGES.values()):
        assert f": {reason}" in told[f"{i:02}"], told[f"{i:02}"]


def test_they_are_left_out_where_that_is_asked_for(broken: Path, tmp_path: Path) -> None:
    spec = DatasetSpec(f"folder:{broken}", {"skip_damaged": True})
    data = load(prepare(spec, SMALL, HERE, tmp_path / "cache"))
    assert len(data.pool) + len(load_test(data.path)) == 16
    note = next(n for n in data.notes if n.startswith("damaged"))
    assert re.fullmatch(
        rf"damaged images, left out \(skip_damaged\): {len(DAMAGES)}(, \d+ of them test images)? \(cat/bad00.png, .*, \.\.\.\)",
        note,
    )


def test_the_rest_is_what_it_would_be_without_them(broken: Path, tmp_path: Path) -> None:
    skipped = load(
        prepare(DatasetSpec(f"folder:{broken}", {"skip_damaged": True}), SMALL, HERE, tmp_path / "cache")
    )
    shown = {i.numpy().tobytes() for i in (*skipped.pool.x, *load_test(skipped.path).x)}
    for path in broken.rglob("bad*"):
        path.unlink()
    clean = load(prepare(DatasetSpec(f"folder:{broken}"), SMALL, HERE, tmp_path / "cache"))
    assert shown == {i.numpy().tobytes() for i in (*clean.pool.x, *load_test(clean.path).x)}


def test_more_than_a_hundred_are_counted(tree, tmp_path: Path) -> None:
    root = tree({"cat": 4, "dog": 4})
    for i in range(123):
        (root / "cat" / f"bad{i:03}.png").write_bytes(b"none")
    with pytest.raises(UserError) as error:
        prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, tmp_path / "cache")
    lines = str(error.value).splitlines()
    assert len(lines) == 102 and lines[100] == "and 23 more" and lines[101].startswith("123 damaged images. ")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_of_damaged_images_alone_is_refused_all_the_same(part: str, tree, tmp_path: Path) -> None:
    root = tree({"cat": 6, "dog": 6}, under="train")
    tree({"cat": 2, "dog": 2}, under="test")
    for path in root.glob(f"{part}/{'dog' if part == 'train' else '*'}/*"):
        path.write_bytes(b"none")
    message = "no training images of class 'dog'" if part == "train" else "no test images"
    with pytest.raises(UserError, match=f"{message}.*damaged images, left out"):
        prepare(DatasetSpec(f"folder:{root}", {"skip_damaged": True}), SMALL, HERE, tmp_path / "cache")


# found when the study is planned: nothing is decoded by then


def unreadable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if the user had no right to read them, or they were gone: root has, and may read all."""
    original = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if os.path.basename(path) in names:
            raise PermissionError(13, "Permission denied", path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr("bench.data.identity.os.open", refuse)


def test_files_without_the_right_to_read_are_named_when_planning(tree, monkeypatch) -> None:
    root = tree({"cat": 6, "dog": 6})
    unreadable(monkeypatch, "2.png", "4.png")
    with pytest.raises(UserError) as error:
        registry.inspect(DatasetSpec(f"folder:{root}"), HERE)
    assert str(error.value).count("cannot be read (Permission denied)") == 4
    info = registry.inspect(DatasetSpec(f"folder:{root}", {"skip_damaged": True}), HERE)
    assert sum(info.pool_counts) + info.test_count == 8
    assert any(n.startswith("damaged images, left out (skip_damaged): 4") for n in info.notes)


def test_a_class_that_may_not_be_read_is_refused_all_the_same(tree, monkeypatch) -> None:
    root = tree({"cat": 6, "dog": 2})
    unreadable(monkeypatch, "0.png", "1.png")
    with pytest.raises(UserError, match="class 'dog' has no images left to train on"):
        registry.inspect(DatasetSpec(f"folder:{root}", {"skip_damaged": True}), HERE)


def test_a_file_that_vanishes_once_it_was_listed_is_named(tree, monkeypatch) -> None:
    from bench.data.folders import folder

    root = tree({"cat": 6, "dog": 6})
    original = folder.list_images

    def late(*args: Any) -> Any:
        found = original(*args)
        (root / "cat" / "3.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(folder, "list_images", late)
    with pytest.raises(UserError, match=r"cat/3\.png: cannot be read \(No such file or directory\)"):
        registry.inspect(DatasetSpec(f"folder:{root}"), HERE)


def test_a_file_that_vanishes_while_images_are_decoded_is_never_just_left_out(
    tree, tmp_path, monkeypatch
) -> None:
    """What is prepared is kept under the identity of all the files."""
    from bench.data.decoding import pictures

    root = tree({"cat": 6, "dog": 6})
    original = pictures.stream

    def late(*args: Any) -> Any:
        (root / "cat" / "3.png").unlink()
        return original(*args)

    monkeypatch.setattr(pictures, "stream", late)
    with pytest.raises(UserError, match=r"cat/3\.png: was changed while"):
        prepare(DatasetSpec(f"folder:{root}", {"skip_damaged": True}), SMALL, HERE, tmp_path / "cache")


# the advice that the message gives


def ways() -> list[str]:
    return re.findall(r"--set (\S+)", HINT)


def test_the_message_on_the_command_line_names_them_all_and_its_advice_works(tmp_path: Path) -> None:
    study()(tmp_path)
    for name in ("cat/3.png", "dog/1.png", "dog/5.png"):
        (tmp_path / "images" / name).write_bytes(b"none")
    more = ("run", "study.yaml", "--workers", "0", "--no-report")
    refused = bench(tmp_path, *more)
    assert refused.returncode == 2 and re.findall(r"images/(\S+?): not", refused.stderr) == [
        "cat/3.png",
        "dog/1.png",
        "dog/5.png",
    ]
    assert not (tmp_path / "mlflow.db").exists()
    (way,) = ways()
    assert way in refused.stderr
    small = ("--set", "datasets.0.n_per_class=all")
    done = bench(tmp_path, *more, *small, "--set", way)
    assert done.returncode == 0, done.stderr

    text = yaml.safe_load((tmp_path / "study.yaml").read_text())
    text["datasets"][0] |= yaml.safe_load(re.findall(r"`(options: .*?)`", refused.stderr)[0])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(text))
    planned = bench(tmp_path, "plan", "study.yaml", *small)
    assert "1 of 1 runs done" in planned.stdout, planned.stdout
