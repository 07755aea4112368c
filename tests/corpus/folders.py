"""Folders of images: what cannot be a dataset, and what is an odd one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.corpus.case import Bad, Maker, Odd, good_images, picture, study

Change = Callable[[Path], object]
"""Of the root of two good classes, cat and dog, of eight images each."""


def bad(name: str, change: Change, message: str, *edits: tuple[str, str]) -> Bad:
    return Bad(name, _with(change, *edits), message)


def layout(name: str, text: str, message: str) -> Bad:
    """`text`: where the images of the classes go instead, as in "train/cat test/cat"; refused by the plan already."""
    return Bad(name, _with(moved(text)), f"study.yaml:4: datasets.0.name: {message}", ("plan", "study.yaml"))


def odd(name: str, change: Change, becomes: str, classes: list[str], images: list[int]) -> Odd:
    """`images`: how many each class has to train on, the others being its test images."""

    def check(folder: Path) -> None:
        from bench.core.spec import DatasetSpec
        from bench.data import registry

        found = registry.inspect(DatasetSpec("folder:images"), folder)
        assert (found.classes, found.pool_counts) == (classes, images)

    return Odd(name, _with(change), becomes, check)


def _with(change: Change, *edits: tuple[str, str]) -> Maker:
    def make(folder: Path) -> None:
        study(*edits)(folder)
        change(folder / "images")

    return make


def rename(old: str, new: str) -> Change:
    return lambda root: (root / old).rename(root / new)


def empty(root: Path) -> None:
    shutil.rmtree(root / "dog")
    (root / "dog").mkdir()


def no_classes(root: Path) -> None:
    for name in ("cat", "dog"):
        shutil.rmtree(root / name)
    picture(1).save(root / "1.png")


def one_class(root: Path) -> None:
    shutil.rmtree(root / "dog")


def one_image(root: Path) -> None:
    for i in range(1, 8):
        (root / "dog" / f"{i}.png").unlink()


def one_image_each(root: Path) -> None:
    one_image(root)
    for i in range(1, 8):
        (root / "cat" / f"{i}.png").unlink()


def with_test(*classes: str) -> Change:
    def change(root: Path) -> None:
        good_images(root / "..", ("cat", "dog"))
        (root / "train").mkdir()
        for name in ("cat", "dog"):
            (root / name).rename(root / "train" / name)
        for k, name in enumerate(classes):
            (root / "test" / name).mkdir(parents=True)
            picture(1000 + k).save(root / "test" / name / "0.png")

    return change


def moved(text: str) -> Change:
    """Images in these folders alone, each with the eight of cat, but of other colours."""

    def change(root: Path) -> None:
        shutil.rmtree(root)
        for k, folder in enumerate(text.split()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(8):
                picture(1000 * k + i).save(root / folder / f"{i}.png")

    return change


def other_files(root: Path) -> None:
    """JPEGs under other names in cat, and what is no image."""
    for i, name in enumerate(("a.jfif", "b.heic", "c", "d.gif", "e.jp2")):
        picture(2000 + i).save(root / "cat" / name, "JPEG")
    (root / "cat" / "labels.csv").write_text("a,b")
    (root / "cat" / "empty").touch()


def test_alone(root: Path) -> None:
    with_test("cat", "dog")(root)
    shutil.rmtree(root / "train")


def test_is_training(root: Path) -> None:
    with_test()(root)
    shutil.copytree(root / "train", root / "test")


def all_the_same(root: Path) -> None:
    for file in root.rglob("*.png"):
        picture(1).save(file)


def same_in_both(root: Path) -> None:
    shutil.rmtree(root / "dog")
    shutil.copytree(root / "cat", root / "dog")


def link_to_the_root(root: Path) -> None:
    (root / "cat" / "more").symlink_to(root)


def link_to_itself(root: Path) -> None:
    (root / "cat" / "more").symlink_to("more")
    (root / "bird").symlink_to("bird")


def link_to_its_class(root: Path) -> None:
    (root / "cat" / "more").symlink_to(root / "cat")


def links_that_double(root: Path) -> None:
    """Forty folders with two links each to the next: a thousand billion ways to the last."""
    for i in range(40):
        level = root / "cat" / f"level{i}"
        level.mkdir()
        for name in ("a", "b"):
            (level / name).symlink_to(f"../level{i + 1}")
    (root / "cat" / "level40").mkdir()


def a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("not a folder")


def litter(root: Path) -> None:
    (root / "__MACOSX").mkdir()
    (root / ".cache").mkdir()
    (root / "readme.txt").write_text("hello")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._0.png"):
        (root / "cat" / name).write_text("no image")
    (root / "cat" / "album.jpg").mkdir()


def nested(root: Path) -> None:
    (root / "cat" / "house").mkdir()
    (root / "cat" / "0.png").rename(root / "cat" / "house" / "0.png")


ALL = ("n_per_class: 5", "n_per_class: all")

BAD: list[Bad] = [
    bad("a file", a_file, "study.yaml:4: datasets.0.name: dataset 'folder:images': DIR/images is not a folder"),
    bad("no classes", no_classes, "study.yaml:4: datasets.0.name: images: no class folders; want images/<class>/<image>.jpg"),
    bad("one class", one_class, "study.yaml:4: datasets.0.name: images: only one class folder, 'cat'; want at least 2 classes"),
    bad("an empty class", empty, "study.yaml:4: datasets.0.name: images/dog: class 'dog' has no images"),
    bad("a class with one image", one_image, "study.yaml:6: datasets.0.n_per_class.0: 5 images per class, but class 'dog' has only 1 to train on"),
    bad("a class with one image, all taken", one_image, "study.yaml:6: datasets.0.n_per_class.0: all images per class leave none for validation at val_share 0.2; use at least 5", ALL),
    bad("one image each", one_image_each, "study.yaml:4: datasets.0.name: images: no test images in any class"),
    bad("a test class that training lacks", with_test("cat", "dogs"), "study.yaml:4: datasets.0.name: images/test: class 'dogs' is not in images/train; did you mean dog?"),
    bad("a test folder alone", test_alone, "study.yaml:4: datasets.0.name: images: has test/ but no train/ beside it"),
    bad("training images as test images", test_is_training, "dataset 'folder:images': no training images. images also in the test set, excluded from training: 16 (train/cat/0.png, train/cat/1.png, train/cat/2.png, ...)"),
    bad("the same image everywhere", all_the_same, "dataset 'folder:images': no training images. images also in the test set, excluded from training: 12, 6 of them under another class (cat/1.png, cat/2.png, cat/3.png, ...); test images that repeat a test image, kept: 3, 2 of them under another class (cat/7.png, dog/5.png, dog/7.png)"),
    bad("the same images in both classes", same_in_both, "dataset 'folder:images': no training images of class 'dog'. images also in the test set, excluded from training: 2, 2 of them under another class (cat/5.png, dog/0.png); images that repeat a training image, excluded: 5, 5 of them under another class (dog/1.png, dog/2.png, dog/3.png, ...); test images that repeat a test image, kept: 1, 1 of them under another class (dog/7.png)"),
    layout("pictures in train/ and test/", "train test", "images: test/ and train/ are named as splits and hold pictures, no class folders; want images/train/<class>/<image>.jpg; if these folders are the classes, say options: {layout: classes}"),
    layout("a picture beside the class folders of test/", "train/cat train/dog test/cat test/dog test", "images/test: 8 pictures beside its class folders (0.png, 1.png, 2.png, ...); move them into a class, or out of it"),
    layout("a picture beside the class folders of train/", "train/cat train/dog train test/cat", "images/train: 8 pictures beside its class folders (0.png, 1.png, 2.png, ...); move them into a class, or out of it"),
    layout("two folders to train on", "train/cat train/dog Training/cat Training/dog test/cat", "images: Training/ and train/ may each be the train folder; say which, as in options: {train: Training}"),
    layout("two folders to test on", "train/cat train/dog val/cat validation/cat", "images: val/ and validation/ may each be the test folder; say which, as in options: {test: val}"),
    layout("splits below classes", "cat/train cat/test dog/train dog/test", "images: cat, dog each hold folders for training and for test; splits are read as train/<class>/ and test/<class>/, so move them, or name one of these folders; if these folders are the classes, say options: {layout: classes}"),
    layout("a test folder among classes", "cat dog test", "images: test/ is named as a split, but lies beside cat/ and dog/ without class folders of its own; move elsewhere what is no class; if these folders are the classes, say options: {layout: classes}"),
    layout("folds as classes", "fold1/cat fold1/dog fold2/cat fold2/dog", "images: fold1, fold2 are named as parts of a dataset, not as classes; merge them; if these folders are the classes, say options: {layout: classes}"),
    layout("a class that the splits spell differently", "train/Cat train/dog test/cat", "images/test: class 'cat' is not in images/train, which has 'Cat': the same class needs the same name; to hold out a share of the training images instead: options: {test: none}"),
    bad("a link to a folder above", link_to_the_root, "study.yaml:4: datasets.0.name: images/cat/more: is a link to DIR/images, a folder above it; remove it"),
    bad("a class name of two lines", rename("dog", "d\nog"), "study.yaml:4: datasets.0.name: images: the class folder d\\nog has a name that cannot be written; rename it"),
    bad("a class name that is no text", rename("dog", "d\udcffog"), "study.yaml:4: datasets.0.name: images: the class folder d\\udcffog has a name that cannot be written; rename it"),
    bad("a class name that a terminal would obey", rename("dog", "d\x1b[31mog"), "study.yaml:4: datasets.0.name: images: the class folder d\\x1b[31mog has a name that cannot be written; rename it"),
]  # fmt: skip

ODD: list[Odd] = [
    odd("class names in Unicode, with spaces", rename("dog", "großer Hund 犬 🐕"), "any other name", ["cat", "großer Hund 犬 🐕"], [6, 6]),
    odd("class names that differ in case", lambda root: shutil.copytree(root / "cat", root / "Cat"), "two classes", ["Cat", "cat", "dog"], [6, 6, 6]),
    odd("a class name with quotes and markup", rename("dog", "[red]\"d'og\" <b>"), "any other name", ["[red]\"d'og\" <b>", "cat"], [6, 6]),
    odd("a link to its own class", link_to_its_class, "followed once", ["cat", "dog"], [6, 6]),
    odd("links that lead to themselves", link_to_itself, "left out", ["cat", "dog"], [6, 6]),
    odd("links that double forty times", links_that_double, "each folder is read once", ["cat", "dog"], [6, 6]),
    odd("files and folders of the system", litter, "left out", ["cat", "dog"], [6, 6]),
    odd("folders within a class", nested, "its images", ["cat", "dog"], [6, 6]),
    odd("splits in other words and letters", moved("Training/cat Training/dog Testing/cat Testing/dog"), "splits", ["cat", "dog"], [8, 8]),
    odd("splits within splits", moved("seg_train/seg_train/cat seg_train/seg_train/dog seg_test/seg_test/cat seg_test/seg_test/dog"), "splits", ["cat", "dog"], [8, 8]),
    odd("a folder that wraps all", moved("archive/cat archive/dog"), "as if it were not there", ["cat", "dog"], [6, 6]),
    odd("a class named train", moved("bus car train"), "a class, and a remark", ["bus", "car", "train"], [6, 6, 6]),
    odd("unlabelled test images", moved("train/cat train/dog test"), "left unused, and a remark", ["cat", "dog"], [6, 6]),
    odd("images under other names", other_files, "by their content; the others counted", ["cat", "dog"], [9, 6]),
    odd("a test class without images", with_test("cat"), "a remark in the report", ["cat", "dog"], [8, 8]),
]  # fmt: skip
