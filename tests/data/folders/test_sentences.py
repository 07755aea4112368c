"""The plan, its JSON and the report say what a dataset was taken to be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.folders.sentences import sentences
from tests.corpus.case import STUDY, picture
from tests.support.commands import bench

LINES = [
    "2 classes (cat, dog), 12 images of each to train and validate on; 12 images to test on",
    "the test set is the folder Testing/",
    "folder extra/ is left unused",
    "left out, as no images that can be read: 2 .csv, 1 .heic (HEIC, which is not read: convert to PNG or JPEG)",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    k = 0
    for split, count in (("Training", 12), ("Testing", 6), ("extra", 1)):
        for name in ("cat", "dog"):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                k += 1
                picture(k).save(place / f"{i}.png")
    for name in ("cat", "dog"):
        (tmp_path / "images" / "Training" / name / "labels.csv").write_text("a,b")
    (tmp_path / "images" / "Testing" / "cat" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(30))
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_the_plan_says_it(folder: Path) -> None:
    done = bench(folder, "plan", "study.yaml")
    assert done.returncode == 0
    assert [
        line[20:] for line in done.stdout.splitlines() if re.match("(data|    )        images: ", line)
    ] == LINES


def test_the_plan_says_it_in_json(folder: Path) -> None:
    (found,) = json.loads(bench(folder, "plan", "study.yaml", "--json").stdout)["datasets"]
    assert found == {
        "label": "images",
        "name": "folder:images",
        "classes": ["cat", "dog"],
        "images_per_class": [12, 12],
        "test_images": 12,
        "notes": LINES[1:],
    }


def test_the_report_says_it_from_the_store(folder: Path) -> None:
    assert bench(folder, "run", "study.yaml", "--workers", "0", "--no-report").returncode == 0
    (folder / "images").rename(folder / "gone")
    assert bench(folder, "report", "corpus").returncode == 0
    report = (folder / "reports/out/corpus/report.md").read_text()
    data = report.partition("## Data\n")[2].partition("\n## ")[0]
    assert [re.sub(r"\\", "", line) for line in re.findall("^  - (.*)", data, re.MULTILINE)] == LINES
    assert all(data.count(line[:20]) == 1 for line in LINES), "said twice"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("synthetic/fine", "10 classes (class 00, class 01, class 02, class 03, class 04, class 05 and 4 more), 1,000 images of each to train and validate on; 1,000 images to test on"),
        ("sklearn/digits", "10 classes (0, 1, 2, 3, 4, 5 and 4 more), 97 to 102 images of each (median 100.5) to train and validate on; 797 images to test on"),
        ("torch/cifar10", "classes and counts are known once it is downloaded"),
    ],
)  # fmt: skip
def test_other_datasets_say_what_is_known(name: str, first: str) -> None:
    info = registry.inspect(DatasetSpec(name), Path("."))
    assert sentences(info)[0] == first


def test_markup_in_a_class_name_is_shown_as_it_is(folder: Path) -> None:
    for split in ("Training", "Testing"):
        (folder / "images" / split / "cat").rename(folder / "images" / split / "[red]cat")
    assert "images: 2 classes ([red]cat, dog), 12 images" in bench(folder, "plan", "study.yaml").stdout


def test_the_report_counts_files_of_which_only_the_first_frame_is_read(folder: Path) -> None:
    train, test = folder / "images" / "Training" / "cat", folder / "images" / "Testing" / "dog"
    for place, name, format in ((train, "a.gif", "GIF"), (train, "b.tif", "TIFF"), (test, "c.png", "PNG")):
        frames = [picture(500 + 10 * len(format) + i) for i in range(3)]
        frames[0].save(place / name, format, save_all=True, append_images=frames[1:])
        frames[1].save(place / f"one-{name}", format)
    assert bench(folder, "run", "study.yaml", "--workers", "0").returncode == 0
    report = (folder / "reports/out/corpus/report.md").read_text()
    (line,) = [line for line in report.splitlines() if "several frames" in line]
    assert line.endswith("the first is read: 3 (Testing/dog/c.png, Training/cat/a.gif, Training/cat/b.tif)")
