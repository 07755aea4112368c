"""A dataset is what its files hold: not their names alone, nor sizes and times, nor where the folder lies."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import identity, registry
from bench.data.prepare import Resolution, load, load_test, prepare
from tests.support.image_samples import random_image

HERE = Path(".")
SMALL = Resolution(8, 10)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process, and so that a handful of files is worth remembering."""
    monkeypatch.setattr(identity, "_known", {})
    monkeypatch.setattr(identity, "WORTH_KEEPING", (0, 0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of BMP files: all of one size, all of one time."""
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            random_image(10 * k + i).save(tmp_path / "images" / name / f"{i}.bmp")
    settle(tmp_path / "images")
    return tmp_path / "images"


def settle(root: Path, times: bool = True) -> None:
    """Old enough for their times to be believed; `times`: those of writing are put to one moment, as archives do."""
    for path in sorted(root.rglob("*.bmp")):
        if times:
            os.utime(path, (1.7e9, 1.7e9))


def content(root: Path, cache: Path | None = None) -> str:
    return registry.inspect(DatasetSpec(f"folder:{root}"), HERE, cache).content


def as_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_known", {})


def swap(root: Path) -> None:
    a, b = root / "cat" / "1.bmp", root / "dog" / "1.bmp"
    a.rename(root / "aside")
    b.rename(a)
    (root / "aside").rename(b)


def edit(root: Path) -> None:
    """In place, with its times of writing and reading put back."""
    path = root / "cat" / "1.bmp"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 255]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(root: Path) -> None:
    path = root / "cat" / "1.bmp"
    before = path.stat()
    random_image(99).save(root / "aside.tmp", "BMP")
    os.replace(root / "aside.tmp", path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(root: Path) -> None:
    (root / "cat" / "1.bmp").rename(root / "cat" / "9.bmp")


def remove(root: Path) -> None:
    (root / "cat" / "1.bmp").unlink()


def relabel(root: Path) -> None:
    (root / "cat" / "1.bmp").rename(root / "dog" / "9.bmp")


def rotate(root: Path) -> None:
    """Three files in a circle, within one class and its test images."""
    paths = [root / "cat" / f"{i}.bmp" for i in range(3)]
    contents = [path.read_bytes() for path in paths]
    for path, other in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(other)
        os.utime(path, (1.7e9, 1.7e9))


def link(root: Path) -> None:
    """A link that is led to another file of the same size and time."""
    outside = root.parent / "outside"
    outside.mkdir(exist_ok=True)
    random_image(77).save(outside / "b.bmp")
    os.utime(outside / "b.bmp", (1.7e9, 1.7e9))
    (root / "cat" / "1.bmp").unlink()
    (root / "cat" / "1.bmp").symlink_to(outside / "b.bmp")


CHANGES: list[Callable[[Path], None]] = [swap, edit, replace, rename, remove, relabel, rotate, link]


@pytest.mark.parametrize("cached", [False, True], ids=["", "remembered"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_is_seen(
    change: Callable[[Path], None], cached: bool, root: Path, tmp_path: Path, monkeypatch
) -> None:
    cache = tmp_path / "cache"
    if cached:  # their times are believed, as if they had changed long ago
        monkeypatch.setattr(identity, "COARSE", -1e9)
    before = content(root, cache)
    assert (cache / "digests").exists() == cached
    first = prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, cache)
    change(root)
    as_new_process(monkeypatch)
    assert content(root, cache) != before
    assert prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, cache) != first


def test_labels_that_are_put_right_are_trained_on(root: Path, tmp_path: Path) -> None:
    spec = DatasetSpec(f"folder:{root}")
    prepare(spec, SMALL, HERE, tmp_path / "cache")
    swap(root)
    data = load(prepare(spec, SMALL, HERE, tmp_path / "cache"))
    shown = {image.numpy().tobytes() for image in (*data.pool.x, *load_test(data.path).x)}
    for image, label in [
        *zip(data.pool.x, data.pool.y, strict=True),
        *zip(load_test(data.path).x, load_test(data.path).y, strict=True),
    ]:
        moved = {10 + 1: 0, 1: 1}
        for seed, k in [(i + 10 * k, k) for k in (0, 1) for i in range(6)]:
            pixels = np.asarray(random_image(seed))[:, 1:11].transpose(2, 0, 1)
            if (image.numpy() == pixels).all():
                assert int(label) == moved.get(seed, k)
    assert len(shown) == 12


def test_a_copy_elsewhere_at_another_time_is_the_same_data(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    assert content(tmp_path / "elsewhere" / "copy") == content(root)
    first = prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, tmp_path / "cache")
    copied = DatasetSpec(f"folder:{tmp_path / 'elsewhere' / 'copy'}")
    assert prepare(copied, SMALL, HERE, tmp_path / "cache") == first


def test_a_file_that_did_not_change_is_read_once(root: Path, tmp_path: Path, monkeypatch) -> None:
    read = []
    original = identity.sha256_of
    monkeypatch.setattr(identity, "sha256_of", lambda file: read.append(file.name) or original(file))
    monkeypatch.setattr(identity, "COARSE", -1e9)
    first = content(root, tmp_path / "cache")
    assert len(read) == 12
    assert content(root, tmp_path / "cache") == first and len(read) == 12
    as_new_process(monkeypatch)
    assert content(root, tmp_path / "cache") == first and len(read) == 12
    swap(root)
    content(root, tmp_path / "cache")
    assert len(read) == 14  # a rename changes ctime, so of these two nothing is believed


def test_a_file_that_changed_just_now_is_not_believed_the_next_time(root: Path, tmp_path: Path) -> None:
    """Its second change may leave the times of the first: times are as coarse as the file system has them."""
    content(root, tmp_path / "cache")
    assert identity._known == {}
    future = time.time() + 2 * identity.COARSE
    assert identity._trusted((root / "cat" / "1.bmp").stat(), future, os.open(root, os.O_RDONLY))


@pytest.mark.parametrize(
    ("written_apart", "read_only", "believed"), [(0, True, False), (1, True, True), (0, False, True)]
)
def test_one_time_for_both_on_a_read_only_file_system_says_nothing(
    written_apart: int, read_only: bool, believed: bool, root: Path, monkeypatch
) -> None:
    """Images of file systems (squashfs, ISO 9660) store one time; another may be mounted in the place of the first."""

    class Flags:
        f_flag = os.ST_RDONLY if read_only else 0

    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: Flags)
    status = list((root / "cat" / "1.bmp").stat()[:10])
    fake = os.stat_result([*status, 1.0, 1.0, 1.0, 10**9, 10**9 + written_apart, 10**9])
    assert identity._trusted(fake, time.time(), -1) == believed


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a byte flipped": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    "something else": lambda data: b"no digests at all",
    "of another version": lambda data: data.replace(b"digests 1", b"digests 0"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_digests_are_made_anew(damage, root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(identity, "COARSE", -1e9)
    first = content(root, tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    as_new_process(monkeypatch)
    assert content(root, tmp_path / "cache") == first
    assert sorted(kept.read_bytes()) == sorted(whole)


def test_a_cache_that_may_not_be_written_is_no_error(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(identity, "COARSE", -1e9)
    (tmp_path / "cache").write_text("a file where the cache folder would be")
    assert content(root, tmp_path / "cache") == content(root)


def test_what_is_read_again_in_a_moment_leaves_nothing(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(identity, "COARSE", -1e9)
    monkeypatch.setattr(identity, "WORTH_KEEPING", (2**24, 1000))
    content(root, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_change_between_planning_and_reading_is_said(root: Path, tmp_path: Path) -> None:
    spec, _ = registry.identified(f"folder:{root}", {}, HERE)
    prepare(spec, SMALL, HERE, tmp_path / "cache")
    swap(root)
    with pytest.raises(UserError, match="its images have changed since the study was planned; run again"):
        prepare(spec, SMALL, HERE, tmp_path / "cache")


def test_a_change_while_images_are_decoded_is_said(root: Path, tmp_path: Path, monkeypatch) -> None:
    from bench.data.folders.folder import Folder

    original = Folder.fingerprint

    def late(self, request, resolution):
        found = original(self, request, resolution)
        monkeypatch.setattr(Folder, "fingerprint", original)
        return found

    from bench.data.decoding import pictures

    stream = pictures.stream

    def changed(*args, **kwargs):
        edit(root)
        return stream(*args, **kwargs)

    monkeypatch.setattr(Folder, "fingerprint", late)
    monkeypatch.setattr(pictures, "stream", changed)
    with pytest.raises(UserError, match=r"1\.bmp: was changed while the dataset was being read; run again"):
        prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "data").iterdir() if path.name != ".locks"]


@pytest.mark.parametrize(("options", "same"), [
    ({"skip_damaged": False}, True), ({"range": None}, True), ({"skip_damaged": True}, False), ({"range": [0, 4095]}, False),
])  # fmt: skip
def test_an_option_at_its_default_is_no_part_of_a_run(
    options: dict[str, object], same: bool, root: Path
) -> None:
    plain, _ = registry.identified(f"folder:{root}", {}, HERE)
    spec, _ = registry.identified(f"folder:{root}", options, HERE)
    assert (spec == plain) == same


@pytest.mark.skipif(sys.platform == "win32", reason="no such right there")
def test_the_harness_own_files_are_checked_again_when_anything_about_them_changes(tmp_path: Path) -> None:
    """Same size, times of writing put back, as after `touch -r`: only ctime tells."""
    from bench.storage.checksums import intact, seal

    folder = tmp_path / "entry"
    folder.mkdir()
    (folder / "rows").write_bytes(b"a" * 100)
    seal(folder)
    assert intact(folder)
    before = (folder / "rows").stat()
    with (folder / "rows").open("r+b") as file:
        file.write(b"b")
    os.utime(folder / "rows", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not intact(folder)
