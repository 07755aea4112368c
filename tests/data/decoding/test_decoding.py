"""Every format, mode and compression, upright under all eight notes of orientation; values of more than 8 bits kept."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from bench.core.errors import UserError
from bench.data.decoding.decode import read_files

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Note -> what makes the stored picture upright (Exif 2.3, tag 0x0112)."""

ORIENTATION = 0x0112
SIDE = 24

LOSSLESS_TIFF: list[dict[str, Any]] = [
    {},
    *({"compression": c} for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate")),
]
BILEVEL_TIFF = [*LOSSLESS_TIFF, *({"compression": c} for c in ("group3", "group4", "tiff_ccitt"))]

CASES: list[tuple[str, str, dict[str, Any]]] = [
    *(("JPEG", mode, {"quality": 95, "subsampling": 0}) for mode in ("L", "RGB", "CMYK", "YCbCr")),
    ("JPEG", "RGB", {"quality": 95, "subsampling": 0, "progressive": True}),
    *(("PNG", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")),
    *(("WEBP", mode, {"lossless": True}) for mode in ("RGB", "RGBA", "L")),
    *(("TIFF", mode, o) for mode in ("L", "RGB", "RGBA", "LA", "CMYK", "I;16", "P") for o in LOSSLESS_TIFF),
    *(("TIFF", mode, o) for mode in ("I", "F", "I;16B") for o in LOSSLESS_TIFF[:2]),
    *(("TIFF", "1", o) for o in BILEVEL_TIFF),
    *(("TIFF", mode, {"compression": "jpeg", "quality": 95}) for mode in ("L", "RGB")),
    ("TIFF", "YCbCr", {}),
    ("AVIF", "RGB", {"quality": 95, "subsampling": "4:4:4"}),
]
BARE = [
    *(("GIF", mode) for mode in ("L", "P", "RGB")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("PPM", mode) for mode in ("1", "L", "RGB", "I;16")),
    *(("JPEG2000", mode) for mode in ("L", "RGB", "RGBA", "I;16")),
]
"""Formats without a note of orientation."""

OPTIONAL = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}


def picture(mode: str) -> Image.Image:
    """40 x 24 pixels, no two quarters alike; large patches, so that no codec blurs them much."""
    colours = np.array([[(250, 40, 40), (40, 250, 40)], [(40, 40, 250), (240, 240, 240)]], dtype=np.uint8)
    rgb = Image.fromarray(colours.repeat(12, 0).repeat(20, 1))
    if mode in ("I;16", "I;16B", "I", "F"):
        grey = np.asarray(rgb.convert("L"))
        if mode == "F":
            return Image.fromarray(grey.astype(np.float32) / 255)
        if mode == "I":
            return Image.fromarray(grey.astype(np.int32) * 257)
        return Image.fromarray((grey.astype(np.uint16) * 257).astype("<u2" if mode == "I;16" else ">u2"))
    if mode == "1":  # not by Pillow's dithering, which is another one once the picture is turned
        return Image.fromarray(np.array([[True, False], [True, True]]).repeat(12, 0).repeat(20, 1))
    return rgb.convert(mode)


def expected(image: Image.Image) -> np.ndarray:
    """[3, 24, 24]: the central square of an upright picture, made 8-bit RGB by hand."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.round(values * 255).astype(np.uint8)
    elif image.mode.startswith("I"):
        values = (values // 257).astype(np.uint8)
    else:
        values = np.asarray(image.convert("RGB"))
    if values.ndim == 2:
        values = values[..., None].repeat(3, 2)
    height, width = values.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    return values[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1).astype(int)


def decoded(path: Path) -> np.ndarray:
    ((found,),) = read_files([path], [SIDE], "bilinear")
    return found[0].astype(int)


def need(kind: str) -> None:
    if kind in OPTIONAL and not features.check(OPTIONAL[kind]):
        pytest.skip(f"this Pillow is built without {kind}")


def named(case: tuple[Any, ...]) -> str:
    return " ".join([*case[:2], *(str(v) for o in case[2:] for v in o.values())])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_picture_is_upright_under_every_note(case: tuple[str, str, dict[str, Any]], tmp_path: Path) -> None:
    kind, mode, options = case
    need(kind)
    upright = picture(mode)
    back = {5: 5, 6: 8, 7: 7, 8: 6}  # the turn that undoes the note's
    wrong = []
    for note in TURNS:
        undo = TURNS[back.get(note, note)]
        stored = upright if undo is None else upright.transpose(undo)
        exif = Image.Exif()
        exif[ORIENTATION] = note
        path = tmp_path / f"{note}.img"
        how: dict[str, Any] = {"tiffinfo": {ORIENTATION: note}} if kind == "TIFF" else {"exif": exif}
        stored.save(path, kind, **how, **options)
        if np.abs(decoded(path) - expected(upright)).mean() > (
            3 if kind in ("JPEG", "AVIF") or options.get("quality") else 0.5
        ):
            wrong.append(note)
    assert wrong == []


@pytest.mark.parametrize("case", BARE, ids=named)
def test_a_picture_without_a_note_is_read_as_it_is(case: tuple[str, str], tmp_path: Path) -> None:
    kind, mode = case
    need(kind)
    path, upright = tmp_path / "x.img", picture(mode)
    upright.save(path, kind)
    # GIF has a palette of 256 colours, and JPEG 2000 is exact only where it is asked to be
    assert np.abs(decoded(path) - expected(upright)).mean() <= (3 if kind in ("GIF", "JPEG2000") else 0.5)


@pytest.mark.parametrize("note", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_note_in_xmp_counts(kind: str, note: int, tmp_path: Path) -> None:
    upright = picture("RGB")
    undo = TURNS[{6: 8, 8: 6}.get(note, note)]
    stored = upright if undo is None else upright.transpose(undo)
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{note}"/></x:xmpmeta>'.encode()
    path = tmp_path / "x.img"
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        stored.save(path, kind, pnginfo=info)
    elif kind == "TIFF":
        stored.save(path, kind, tiffinfo={700: xmp})
    else:
        stored.save(
            path,
            kind,
            xmp=xmp,
            **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True}),
        )
    assert np.abs(decoded(path) - expected(upright)).mean() <= 3


def test_a_large_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch) -> None:
    """Pillow's draft: 8 pixels of a JPEG from one block; four times as fast and as good for a small square."""
    sizes = []
    original = Image.Image.resize

    def resize(self: Image.Image, *args: object, **kwargs: object) -> Image.Image:
        sizes.append(self.size)
        return original(self, *args, **kwargs)

    picture("RGB").resize((1600, 960)).save(tmp_path / "x.jpg", exif=_note(6))
    monkeypatch.setattr(Image.Image, "resize", resize)
    decoded(tmp_path / "x.jpg")
    assert sizes == [(120, 200)]  # an eighth, turned


def _note(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel; values: [H, W, 3], or 4 with transparency, or 2. Pillow cannot write one."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(
        ">IIBBBBB", values.shape[1], values.shape[0], 16, {2: 4, 3: 2, 4: 6}[values.shape[2]], 0, 0, 0
    )
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def deep_tiff(values: np.ndarray, order: str, compression: int, note: int) -> bytes:
    """An RGB TIFF of 16 bits a channel, one strip. order: "<" or ">"; compression: 1 none, 8 deflate."""
    height, width = values.shape[:2]
    strip = values.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if compression == 8 else strip
    after = 8 + 2 + 12 * 10 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, after), (259, 3, 1, compression), (262, 3, 1, 2),
            (273, 4, 1, after + 6), (274, 3, 1, note), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(strip))]  # fmt: skip
    out = io.BytesIO()
    out.write((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags)))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        out.write(
            struct.pack(
                f"{order}HHIHH" if short else f"{order}HHII", tag, kind, count, value, *([0] if short else [])
            )
        )
    out.write(struct.pack(f"{order}IHHH", 0, 16, 16, 16) + strip)
    return out.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["PNG", "PNG with transparency", "TIFF <1", "TIFF >1", "TIFF <8", "TIFF >8"])
def test_colours_of_16_bits_keep_the_bits_that_they_use(kind: str, bits: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 2**bits, (SIDE, SIDE, 3), dtype=np.uint16)
    alpha = np.full((SIDE, SIDE, 1), 30_000, dtype=np.uint16)
    png = deep_png(values if kind == "PNG" else np.concatenate([values, alpha], 2))
    content = png if kind.startswith("PNG") else deep_tiff(values, kind[5], int(kind[6]), note=6)
    (tmp_path / "x").write_bytes(content)
    upright = values if kind.startswith("PNG") else np.rot90(values, -1)
    assert (decoded(tmp_path / "x") == (upright >> (bits - 8)).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_greys_of_16_bits_beside_transparency_keep_the_bits_that_they_use(bits: int, tmp_path: Path) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (SIDE, SIDE, 1), dtype=np.uint16)
    (tmp_path / "x").write_bytes(deep_png(np.concatenate([values, np.full_like(values, 30_000)], 2)))
    assert (decoded(tmp_path / "x") == (values >> (bits - 8)).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colours_of_a_16_bit_ppm_keep_the_bits_that_they_use(bits: int, tmp_path: Path) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (SIDE, SIDE, 3), dtype=np.uint16)
    (tmp_path / "x").write_bytes(f"P6 {SIDE} {SIDE} 65535\n".encode() + values.astype(">u2").tobytes())
    assert (decoded(tmp_path / "x") == (values >> (bits - 8)).transpose(2, 0, 1)).all()


def tag(number: int, value: int) -> bytes:
    """An entry of a little-endian TIFF: one short number."""
    return struct.pack("<HHIHH", number, 3, 1, value, 0)


def retagged(path: Path, image: Image.Image, old: bytes, new: bytes) -> Path:
    image.save(path, "TIFF")
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_tiff_whose_least_value_is_white_is_shown_so(kind: type, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    values = {np.uint8: grey, np.uint16: grey * np.uint16(256), np.float32: (grey / np.float32(256))}[kind]
    path = retagged(tmp_path / "x", Image.fromarray(values), tag(262, 1), tag(262, 0))
    assert (decoded(path) == 255 - grey).all()


def test_whole_numbers_of_32_bits_without_a_sign_are_read_without_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**32, (SIDE, SIDE), dtype=np.uint32)
    path = retagged(tmp_path / "x", Image.fromarray(values.view(np.int32)), tag(339, 2), tag(339, 1))
    assert (decoded(path) == values >> 24).all()


def test_what_pillow_reads_as_something_else_is_refused(tmp_path: Path) -> None:
    signed = retagged(tmp_path / "signed", Image.new("L", (SIDE, SIDE)), tag(259, 1), tag(339, 2))
    planes = tmp_path / "planes"
    pixels = np.zeros((SIDE, SIDE, 3), np.uint16)
    planes.write_bytes(deep_tiff(pixels, "<", 1, note=1).replace(tag(274, 1), tag(284, 2)))
    with pytest.raises(UserError) as refused:
        list(read_files([signed, planes], [SIDE], "bilinear"))
    assert "signed: not a readable image (signed values of 8 bits" in str(refused.value)
    assert "planes: not a readable image (colours of more than 8 bits, each in a plane" in str(refused.value)


def test_a_kind_of_tiff_that_pillow_does_not_read_is_not_said_to_be_no_tiff(tmp_path: Path) -> None:
    path = retagged(tmp_path / "x", Image.new("F", (SIDE, SIDE)), tag(258, 32), tag(258, 64))
    with pytest.raises(UserError, match="TIFF, damaged or of a kind that Pillow does not read"):
        list(read_files([path], [SIDE], "bilinear"))


def test_all_damaged_files_are_named_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i:03}.png" for i in range(140)]
    for path in paths[:130]:
        path.write_bytes(b"no image")
    for path in paths[130:]:
        picture("RGB").save(path)
    with pytest.raises(UserError) as error:
        list(read_files(paths, [8], "bilinear"))
    lines = str(error.value).splitlines()
    assert len(lines) == 102 and all(": not an image" in line for line in lines[:100])
    assert lines[100] == "and 30 more" and lines[101].startswith("130 damaged images.")
