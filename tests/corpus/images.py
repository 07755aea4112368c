"""Image files: damaged ones, and odd ones that are read all the same."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from bench.core.errors import shown
from tests.corpus.case import Bad, Maker, Odd, picture, study

FILE = Path("images", "cat", "3.png")

GO_ON = (
    "1 damaged image. Repair or remove it; or leave it out by `options: {skip_damaged: true}` on the dataset, "
    "say --set datasets.0.options.skip_damaged=true"
)


def damaged(name: str, write: Callable[[Path], object], message: str, as_name: str = "3.png") -> Bad:
    """message: about the file, or all of it, where planning finds it. One of sixteen images is written by `write`."""
    if not message.startswith("study.yaml"):
        message = f"DIR/images/cat/{shown(as_name)}: {message}"
    message = f"{message}\n{GO_ON}"
    return Bad(name, _with(write, as_name), message)


def odd(
    name: str, write: Callable[[Path], object], becomes: str, pixel: tuple[int, ...], as_name: str = "3.png"
) -> Odd:
    """`pixel`: what each pixel of it is read as, (red, green, blue) to within 2."""

    def check(folder: Path) -> None:
        from bench.data.decoding.decode import read_files

        ((found,),) = read_files([folder / "images" / "cat" / as_name], [8], "bicubic")
        assert np.abs(found[0].astype(int) - np.reshape(pixel, (3, 1, 1))).max() <= 2, found[0, :, 0, 0]

    return Odd(name, _with(write, as_name), becomes, check)


def _with(write: Callable[[Path], object], as_name: str) -> Maker:
    def make(folder: Path) -> None:
        study()(folder)
        (folder / FILE).unlink()
        write(folder / "images" / "cat" / as_name)

    return make


def cut(format: str, share: float = 0.6) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        picture(3, 64, 64).save(path, format)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def saved(mode: str, colour: object, format: str = "PNG", **options: object) -> Callable[[Path], object]:
    return lambda path: Image.new(mode, (20, 16), colour).save(path, format, **options)  # type: ignore[arg-type]


def animated(format: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        frames = [Image.new("RGB", (20, 16), colour) for colour in ("red", "blue", "green")]
        frames[0].save(
            path,
            format,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if format == "WEBP" else {}),
        )

    return write


def png(width: int, height: int, pixels: bytes = b"\0", crc: int | None = None) -> bytes:
    """A PNG of that size in its header, whatever its pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content) if crc is None else crc
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def text_bomb(path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 100_000_000, zip=True)
    picture(3).save(path, pnginfo=info)


def wrong_checksum(path: Path) -> None:
    picture(3).save(path)
    content = bytearray(path.read_bytes())
    content[45] ^= 255
    path.write_bytes(content)


def turned(path: Path) -> None:
    """Blue above, red below, and a note that the camera lay on its side: so nothing is blue at the left."""
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (20, 16), (200, 30, 40)).save(path, "JPEG", exif=exif, quality=95)


def grey16(path: Path) -> None:
    Image.fromarray(np.full((16, 20), 200 << 8, dtype=np.uint16)).save(path)


def grey12(path: Path) -> None:
    Image.fromarray(np.full((16, 20), 2048, dtype=np.uint16)).save(path)


def palette_with_transparency(path: Path) -> None:
    image = Image.new("P", (20, 16), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(path, transparency=bytes([255, 0]))


BAD: list[Bad] = [
    damaged("an empty file", data(b""), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF"),
    damaged("a truncated PNG", cut("PNG"), "not a readable image (…)"),
    damaged("a truncated JPEG", cut("JPEG"), "not a readable image (…)", "3.jpg"),
    damaged("a truncated WebP", cut("WEBP"), "not a readable image (…)", "3.webp"),
    damaged("a truncated BMP", cut("BMP"), "not a readable image (…)", "3.bmp"),
    damaged("a truncated TIFF", cut("TIFF"), "not a readable image (…)", "3.tif"),
    damaged("a page of the web", data(b"<!doctype html><title>404 Not Found</title>"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF", "3.jpg"),
    damaged("a signature and no more", data(b"\x89PNG\r\n\x1a\n"), "not a readable image (PNG, damaged or of a kind that Pillow does not read; save it as PNG)"),
    damaged("a wrong checksum", wrong_checksum, "not a readable image (…)"),
    damaged("no pixels", data(png(0, 0)), "not a readable image (PNG, damaged or of a kind that Pillow does not read; save it as PNG)"),
    damaged("fewer pixels than it says", data(png(40, 40)), "not a readable image (…)"),
    damaged("a bomb of 2,500 million pixels", data(png(50_000, 50_000)), "not a readable image (…)"),
    damaged("a bomb of text", text_bomb, "not a readable image (…)"),
    damaged("a vector graphic", data(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF"),
    damaged("PostScript, which is code", data(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF"),

    damaged("a named pipe", os.mkfifo, "study.yaml:4: datasets.0.name: images/cat/3.png: not a regular file"),
    damaged("a link to nothing", lambda path: path.symlink_to("nothing.png"), "study.yaml:4: datasets.0.name: images/cat/3.png: cannot be read (…)"),
    damaged("a link to itself", lambda path: path.symlink_to("3.png"), "study.yaml:4: datasets.0.name: images/cat/3.png: cannot be read (…)"),
    damaged("a name of two lines", data(b"no image"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF", "a\nb.png"),
    damaged("a name that is no text", data(b"no image"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF", "a\udcff.png"),
    damaged("a name that a terminal would obey", data(b"no image"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF", "a\x1b[31m.png"),
    damaged("a name that looks like markup", data(b"no image"), "not an image, or none of JPEG, PNG, PPM, BMP, TIFF, WEBP, GIF, JPEG2000, AVIF", "[red]:cat:.png"),
]  # fmt: skip

ODD: list[Odd] = [
    odd("16-bit grey PNG", grey16, "by the bits that the training images use", (200, 200, 200)),
    odd("16-bit grey TIFF of 12 bits", grey12, "by the bits that the training images use", (128, 128, 128), "3.tif"),
    odd("a picture of floats", saved("F", 0.5, "TIFF"), "0 to 1 as black to white", (128, 128, 128), "3.tif"),
    odd("a picture of 32-bit integers", saved("I", 70_000, "TIFF"), "by the bits that the training images use", (136, 136, 136), "3.tif"),
    odd("CMYK JPEG", saved("CMYK", (0, 255, 255, 0), "JPEG", quality=95), "converted to RGB", (254, 0, 0), "3.jpg"),
    odd("palette PNG", saved("P", 0), "its colours", (0, 0, 0)),
    odd("palette PNG with transparency", palette_with_transparency, "its colours, opaque", (10, 200, 30)),
    odd("transparent PNG", saved("RGBA", (10, 200, 30, 0)), "its colours, opaque", (10, 200, 30)),
    odd("grey and alpha PNG", saved("LA", (77, 128)), "grey", (77, 77, 77)),
    odd("black and white", saved("1", 1), "grey", (255, 255, 255)),
    odd("animated PNG", animated("PNG"), "its first frame", (255, 0, 0)),
    odd("animated WebP", animated("WEBP"), "its first frame", (255, 0, 0), "3.webp"),
    odd("animated GIF named PNG", animated("GIF"), "its first frame", (254, 0, 0)),
    odd("TIFF of three pages", animated("TIFF"), "its first page", (255, 0, 0), "3.tif"),
    odd("JPEG named PNG", saved("RGB", (10, 200, 30), "JPEG", quality=95), "what it is, not what it is named", (10, 200, 30)),
    odd("PNG named JPEG in capitals", saved("RGB", (10, 200, 30)), "what it is, not what it is named", (10, 200, 30), "3.JPEG"),
    odd("a photograph on its head", turned, "upright, as its EXIF note says", (200, 30, 40), "3.jpg"),
    odd("one pixel", lambda path: Image.new("RGB", (1, 1), (10, 200, 30)).save(path), "enlarged", (10, 200, 30)),
    odd("a line of 5,000 pixels", lambda path: Image.new("RGB", (5000, 1), (10, 200, 30)).save(path), "its middle, enlarged", (10, 200, 30)),
    odd("a name in Unicode, with spaces", saved("RGB", (10, 200, 30)), "any other name", (10, 200, 30), "ein schönes Bild 猫 🐈.png"),
    odd("a name of two lines", saved("RGB", (10, 200, 30)), "any other name", (10, 200, 30), "a\nb.png"),
    odd("a name that is no text", saved("RGB", (10, 200, 30)), "any other name", (10, 200, 30), "a\udcff.png"),
]  # fmt: skip
