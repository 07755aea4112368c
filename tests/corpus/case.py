"""What an entry of the corpus is, and how `bench` is run on it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
from PIL import Image

from tests.support.commands import bench

Maker = Callable[[Path], object]
"""Writes the input into an empty folder. A number that it returns stands for PORT in the command and the message."""

RUN = ("run", "study.yaml", "--workers", "0")

STUDY = """
name: corpus
datasets:
  - name: folder:images
    similarity: similar
    n_per_class: 5
backbones:
  - name: test_resnet
    random: true
strategies:
  - linear_probe
seeds: 1
train: {image_size: 32, precision: fp32}
system_metrics: false
"""


@dataclass(frozen=True)
class Bad:
    """An input that must be refused, with exit code 2, this message on stderr and nothing written.

    message: all of it. DIR stands for the folder of the input, … for any text within a line: wording of others,
    versions, numbers of a server. args: the command, by default a run of `study.yaml` in this process.
    """

    name: str
    make: Maker
    message: str
    args: tuple[str, ...] = RUN

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Odd:
    """An input that looks wrong and is not: `becomes` says in words what happens to it, `check` holds it to that."""

    name: str
    make: Maker
    becomes: str
    check: Callable[[Path], None]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Refused:
    """What `bench` said to an input, the message that it must give, and the files that there were before."""

    result: CompletedProcess[str]
    message: str
    before: dict[str, tuple[int, int]]


def refused(case: Bad, folder: Path) -> Refused:
    """Make the input in `folder`, and run `bench` on it."""
    made = case.make(folder)
    port = str(made) if type(made) is int else "PORT"
    before = content(folder)
    result = bench(folder, *(arg.replace("PORT", port) for arg in case.args))
    return Refused(result, case.message.replace("PORT", port), before)


def says(message: str, folder: Path, printed: str) -> bool:
    """Whether `printed` is that message and nothing else."""
    parts = (re.escape(part).replace("DIR", re.escape(str(folder))) for part in message.split("…"))
    return re.fullmatch("error: " + "[^\n]*".join(parts) + "\n", printed) is not None


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything below `folder`. An empty lock file counts for nothing: it cannot be removed safely."""
    return {
        os.path.relpath(path, folder): (status.st_size, status.st_mtime_ns)
        for path in _files(folder)
        if ".locks" not in path.parts
        for status in [path.lstat()]
    }


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def study(*edits: tuple[str, str], text: str = STUDY) -> Maker:
    """A folder of images and a study of them, with these replacements in its text."""

    def make(folder: Path) -> None:
        edited = text
        for old, new in edits:
            assert old in edited, f"{old!r} is not in the study"
            edited = edited.replace(old, new, 1)
        good_images(folder)
        (folder / "study.yaml").write_text(edited, encoding="utf-8", errors="surrogatepass")

    return make


def good_images(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 8) -> Path:
    """folder/images/<class>/<i>.png, all different."""
    root = folder / "images"
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(100 * k + i).save(root / name / f"{i}.png")
    return root


def picture(seed: int, width: int = 12, height: int = 10) -> Image.Image:
    """Noise in colour; another seed is another image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
