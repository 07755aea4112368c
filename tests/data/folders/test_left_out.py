"""What can be read is read, whatever its name; what is left out is counted by ending, with the reason."""

from __future__ import annotations

import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.decoding.decode import FORMATS, read_files
from bench.data.folders import sniff
from bench.data.folders.folder import list_images
from bench.data.folders.tree import told
from tests.support.image_samples import random_image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
READ_FORMATS = [f for f in sniff.FORMATS if sniff.decodes(f)]
ENDINGS = [
    "",
    ".jpg",
    ".jfif",
    ".jpe",
    ".gif",
    ".heic",
    ".avif",
    ".jp2",
    ".png",
    ".dat",
    ".txt",
    ".JPG_large",
    ".php",
]


def encoded(format: str, seed: int = 1) -> bytes:
    file = io.BytesIO()
    random_image(seed).save(file, format)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0.png", b"x")
    return file.getvalue()


CONVERT = "which is not read: convert to PNG or JPEG"
NO_IMAGES = [
    (".csv", b"name,label\n", ""),
    (".txt", b"0 .5 .5 .1 .1\n", ""),
    ("", b"hello", ""),
    (".html", b"<!doctype html>", ""),
    (".zip", zipped(), ""),
    (".npy", b"\x93NUMPY\x01\0", ""),
    (".txt", b"BMW and P3 are words", ""),
    (".dat", b"", "empty"),
    (".heic", HEIC, f"HEIC, {CONVERT}"),
    ("", HEIC, f"HEIC, {CONVERT}"),
    (".jxl", b"\xff\x0a" + bytes(40), f"JPEG XL, {CONVERT}"),
    (".psd", b"8BPS\0\x01", f"Photoshop, {CONVERT}"),
    (".svg", b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", f"SVG, {CONVERT}"),
    (".eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", f"PostScript, {CONVERT}"),
    (".exr", b"\x76\x2f\x31\x01", f"OpenEXR, {CONVERT}"),
    (".ico", b"\0\0\x01\0\x01\0", f"icon, {CONVERT}"),
    (".cr2", b"II*\0\x10\0\0\0CR\x02\0", f"camera raw, {CONVERT}"),
    (".NEF", encoded("TIFF"), f"camera raw, {CONVERT}"),
    (".pdf", b"%PDF-1.7", "PDF"),
    (".mp4", b"\0\0\0\x20ftypisom", "video"),
]  # fmt: skip


def good(root: Path) -> Path:
    for k, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(4):
            random_image(100 * k + i).save(root / name / f"{i}.png")
    return root


def files(root: Path) -> int:
    found = list_images(root, 0.3)
    return len(found.pool) + len(found.test)


@pytest.mark.parametrize("format", READ_FORMATS)
def test_an_image_is_read_whatever_its_name(format: str, tmp_path: Path) -> None:
    root = good(tmp_path / "images")
    for i, ending in enumerate(ENDINGS):
        (root / "cat" / f"as{i}{ending}").write_bytes(encoded(format, 1000 + i))
    found = list_images(root, 0.3)
    paths = [path for path, _ in [*found.pool, *found.test]]
    assert len(paths) == 8 + len(ENDINGS) and len(found.notes) == 1
    images = [image for (chunk,) in read_files(paths, [8], "bicubic") for image in chunk]
    assert len(images) == len(paths)


def test_the_decoders_that_are_used_are_these() -> None:
    """As SECURITY.md promises: a tenth is a decision, for it reads what strangers wrote."""
    promised = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF")
    assert promised == sniff.FORMATS == FORMATS


def test_every_decoder_that_is_used_is_known_by_its_first_bytes() -> None:
    for format in READ_FORMATS:
        assert sniff.kind(encoded(format)[: sniff.HEAD]) == format


@pytest.mark.parametrize("format", ["JPEG2000", "AVIF"])
def test_a_format_that_this_pillow_lacks_is_said(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sniff.decodes(format):
        pytest.skip(f"this Pillow cannot write {format}")
    root = good(tmp_path / "images")
    (root / "cat" / "x.img").write_bytes(encoded(format))
    sniff.decodes.cache_clear()
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    try:
        notes = list_images(root, 0.3).notes
    finally:
        sniff.decodes.cache_clear()
    assert (
        notes[-1]
        == f"left out, as no images that can be read: 1 .img ({format}, which this Pillow is built without)"
    )


@pytest.mark.parametrize(("ending", "content", "why"), NO_IMAGES)
def test_what_is_no_image_is_counted_with_the_reason(
    ending: str, content: bytes, why: str, tmp_path: Path
) -> None:
    root = good(tmp_path / "images")
    for folder, name in (("cat", "a"), ("dog", "b"), ("dog", "c")):
        (root / folder / f"{name}{ending}").write_bytes(content)
    found = list_images(root, 0.3)
    shown = ending.lower() or "without ending"
    assert len(found.pool) + len(found.test) == 8
    assert found.notes[1:] == [
        f"left out, as no images that can be read: 3 {shown}" + (f" ({why})" if why else "")
    ]


def test_litter_is_not_worth_a_word_at_any_depth(tmp_path: Path) -> None:
    root = good(tmp_path / "images")
    for folder in (root, root / "cat", root / "cat" / "more"):
        folder.mkdir(exist_ok=True)
        for name in (".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", ".hidden.png", "._0.png"):
            (folder / name).write_bytes(b"x")
        for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "$RECYCLE.BIN"):
            (folder / name).mkdir()
            random_image(9).save(folder / name / "thumbnail.png")
    found = list_images(root, 0.3)
    assert (found.classes, len(found.pool) + len(found.test), len(found.notes)) == (["cat", "dog"], 8, 1)


def test_a_class_of_unreadable_files_is_refused_with_what_is_there(tmp_path: Path) -> None:
    root = good(tmp_path / "images")
    (root / "bird").mkdir()
    (root / "bird" / "1.heic").write_bytes(HEIC)
    with pytest.raises(
        UserError, match=r"class 'bird' has no images that can be read: 1 \.heic \(HEIC, which"
    ):
        list_images(root, 0.3)


def test_what_is_no_file_is_counted_and_not_opened(tmp_path: Path) -> None:
    root = good(tmp_path / "images")
    os.mkfifo(root / "cat" / "pipe")
    (root / "cat" / "lost").symlink_to("nowhere")
    assert list_images(root, 0.3).notes[1:] == [
        "left out, as no images that can be read: 2 without ending (not a regular file)"
    ]


def test_files_beside_the_classes_and_in_unused_folders_are_not_counted(tmp_path: Path) -> None:
    root = good(tmp_path / "images")
    (root / "README.md").write_text("hello")
    assert len(list_images(root, 0.3).notes) == 1


def test_many_endings_are_summed_up() -> None:
    left_out = Counter({(f".e{i:02}", ""): 20 - i for i in range(12)})
    assert told(left_out).endswith("13 .e07, 42 of 4 other kinds")


def test_files_with_known_endings_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning on 100,000 images must not open each; decoding looks at their content anyway."""
    root = good(tmp_path / "images")
    monkeypatch.setattr(sniff, "why_not", lambda path, ending: pytest.fail(path))
    assert files(root) == 8


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_text_is_no_image(text: str) -> None:
    assert sniff.kind(f"name {text}".encode()[: sniff.HEAD]) is None


def test_links_to_nothing_are_named_with_all_that_is_damaged_and_left_out_with_it(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(8):
            random_image(i).save(tmp_path / name / f"{i}.png")
    for name in ("a", "b"):
        (tmp_path / "cat" / f"{name}.png").symlink_to("nowhere.png")
    with pytest.raises(UserError) as refused:
        registry.inspect(DatasetSpec(f"folder:{tmp_path}"), tmp_path)
    assert all(f"cat/{name}.png: cannot be read" in str(refused.value) for name in "ab")
    found = registry.inspect(DatasetSpec(f"folder:{tmp_path}", {"skip_damaged": True}), tmp_path)
    assert any(note.startswith("damaged images, left out (skip_damaged): 2") for note in found.notes)
