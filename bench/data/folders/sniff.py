"""What a file is, by its first bytes: which formats are read, and which are known and not. Without Pillow and torch."""

from __future__ import annotations

import os
import re
from functools import cache

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF")
"""Pillow's decoders that are used, whatever a file's name says. Not PostScript, which Pillow has Ghostscript execute."""

HEAD = 64
"""Bytes that are read of a file."""

_OPTIONAL = {"JPEG2000": "jpg_2000", "AVIF": "avif"}
"""Formats that a Pillow may be built without -> what `PIL.features` calls them."""

_SIGNATURES = [
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"P[1-6]\s+(?:#|\d)", "PPM"),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),  # the size of the header that follows
    (rb"(?:II\*\0.{4}CR|IIRO|IIU\0|FUJIFILMCCD-RAW|.{4}ftypcrx )", "camera raw"),
    (rb"(?:II\*\0|MM\0\*|II\+\0|MM\0\+|II\0\*|MM\*\0)", "TIFF"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"(?:\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51)", "JPEG2000"),
    (rb".{4}ftyp(?:avif|avis)", "AVIF"),
    (rb".{4}ftyp(?:mif1|msf1).{4}.*(?:avif|avis)", "AVIF"),
    (rb".{4}ftyp(?:heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "HEIC"),
    (rb"(?:\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)", "JPEG XL"),
    (rb"8BPS", "Photoshop"),
    (rb"(?:%!PS|\xc5\xd0\xd3\xc6)", "PostScript"),
    (rb"%PDF", "PDF"),
    (rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*|<!DOCTYPE svg.*)?<svg", "SVG"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"DDS ", "DDS"),
    (rb"\0\0\x01\0[^\0]\0", "icon"),
    (rb"(?:.{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01\xba)", "video"),
]
_ANY = re.compile(b"|".join(b"(%b)" % pattern for pattern, _ in _SIGNATURES), re.DOTALL)

RAW = (".dng", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".cr2", ".cr3", ".orf", ".rw2", ".raf", ".pef", ".srw")
"""Endings of files that begin as TIFFs do and hold a sensor's values: what a TIFF decoder finds in them is a thumbnail."""


def kind(head: bytes) -> str | None:
    """The format of a file that begins so: one of FORMATS, the name of one that is not read, or None."""
    found = _ANY.match(head)
    return _SIGNATURES[found.lastindex - 1][1] if found and found.lastindex else None


def why_not(path: str, ending: str) -> str | None:
    """Why the file cannot be read as an image, in a few words; "" for no image at all, None where it can be read."""
    try:
        head = _head(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    found = "camera raw" if ending in RAW else kind(head)
    if found in FORMATS:
        return None if decodes(found) else f"{found}, which this Pillow is built without"
    if found in ("video", "PDF"):
        return found
    return f"{found}, which is not read: convert to PNG or JPEG" if found else "" if head else "empty"


def _head(path: str) -> bytes:
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_BINARY", 0)
    )  # a fifth of the time of open(), for many files
    try:
        return os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)


@cache
def decodes(name: str) -> bool:
    """Whether the Pillow that is installed decodes that format. It is imported only where there is a doubt."""
    if name not in _OPTIONAL:
        return name in FORMATS
    from PIL import features

    return bool(features.check(_OPTIONAL[name]))
