"""Folder layouts as text: `train/cat:3 train/dog` is a tree with 3 and 4 images. What each is read as, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"
EACH = 4


@dataclass(frozen=True)
class Read:
    """A layout, its classes, how many images are to train on and to test on (None: a share is held out), and a remark."""

    layout: str
    classes: str
    pool: int
    test: str | None
    remark: str = ""

    def __str__(self) -> str:
        return self.layout


@dataclass(frozen=True)
class Refused:
    """A layout, the message, and what becomes of it once the options that the message names are followed, in turn."""

    layout: str
    message: str
    ways_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.layout


def make(root: Path, layout: str) -> Path:
    """`+` stands for a space, `.:2` for two images in the root itself."""
    for part in layout.split():
        path, _, count = part.partition(":")
        folder = root / path.replace("+", " ")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(int(count or EACH)):
            (folder / f"{i}.png").write_bytes(PNG + path.encode() + bytes([i]))
    return root


PAIRS = [
    ("train", "test"),
    ("training", "testing"),
    ("trn", "tst"),
    ("train", "val"),
    ("train", "valid"),
    ("training", "validation"),
    ("train", "dev"),
    ("trainval", "test"),
    ("train", "eval"),
    ("train", "holdout"),
]
CASES = [str.lower, str.upper, str.title]
FORMS = [
    "{}",
    "seg_{}",
    "{}_images",
    "images-{}",
    "{} Data",
    "{}_set",
    "{}set",
    "{}2017",
    "01_{}",
    "my.{}",
    "{}_224x224",
]
WITH_A_NAME = ["cifar_{}", "{}_flowers", "chest xray {}", "DATASET-{}", "Flowers{}"]
NESTINGS = ["{0}", "{0}/{0}", "archive/{0}", "images/{0}", "{0}/images", "data/raw/{0}"]


def spelled() -> list[tuple[str, str]]:
    """Names of a folder to train on and of one to test on: every word, every form, every nesting; not all crossed."""
    words = [(case(a), case(b)) for (a, b), case in product(PAIRS, CASES)]
    forms = [
        (f.format(a), f.format(b))
        for f, case in product([*FORMS, *WITH_A_NAME], CASES)
        for a, b in [map(case, PAIRS[0])]
    ]
    nested = [(n.format(a), n.format(b)) for n in NESTINGS for a, b in [*PAIRS, *forms]]
    return list(dict.fromkeys([*words, *forms, *nested]))


READ = [
    Read("cat dog", "cat dog", 6, None),
    Read("train/cat train/dog", "cat dog", 6, None),
    Read("archive/cat archive/dog", "cat dog", 6, None, "the classes are the folders in archive/"),
    Read("a/b/c/cat a/b/c/dog", "cat dog", 6, None, "the classes are the folders in a/b/c/"),
    Read("train/cat train/dog test/cat test/dog val/cat val/dog", "cat dog", 8, "test", "folder val/ is left unused"),
    Read("train/cat train/dog test/cat", "cat dog", 8, "test", "no test images of class dog"),
    Read("train/1 train/2 test/1", "1 2", 8, "test", "no test images of class 2"),
    Read("train/cat train/dog test/cat/indoor test/cat/outdoor", "cat dog", 8, "test", "no test images of class dog"),
    Read("train/cat train/dog test", "cat dog", 6, None, "folder test/ is left unused: 4 pictures and no class folders, so no labels"),
    Read("train/cat train/dog test/test", "cat dog", 6, None, "folder test/test/ is left unused: 4 pictures and no class folders, so no labels"),
    Read("train/cat train/dog val/cat val/dog test", "cat dog", 8, "val", "folder test/ is left unused: 4 pictures and no class folders, so no labels"),
    Read("train/cat train/dog test/cat test/dog unlabeled", "cat dog", 8, "test", "folder unlabeled/ is left unused"),
    Read("seg_train/seg_train/cat seg_train/seg_train/dog seg_test/seg_test/cat seg_test/seg_test/dog seg_pred/seg_pred", "cat dog", 8, "seg_test/seg_test", "folder seg_pred/ is left unused"),
    Read("images/train/cat images/train/dog images/test/cat images/test/dog labels/train:0", "cat dog", 8, "images/test", "folder labels/ is left unused"),
    Read("train/train train/bus test/train test/bus", "bus train", 8, "test"),
    Read("cat dog .:2", "cat dog", 6, None, "2 pictures in images/ itself, of no class: left out (0.png, 1.png)"),
    Read("train/cat train/dog test/cat test/dog .:1", "cat dog", 8, "test", "1 picture in images/ itself, of no class: left out (0.png)"),
    # a folder that is named as a split and only wraps the splits
    Read("training/train/cat training/train/dog training/val/cat training/val/dog", "cat dog", 8, "training/val"),
    Read("trainval/train/cat trainval/train/dog trainval/val/cat trainval/val/dog", "cat dog", 8, "trainval/val"),
    Read("test/train/cat test/train/dog test/test/cat test/test/dog", "cat dog", 8, "test/test"),
    Read("train/images/cat train/images/dog train/masks/cat train/masks/dog", "images masks", 12, None, "all classes hold the same folders (cat, dog): are those the classes?"),
    Read("Cat cat dog", "Cat cat dog", 9, None, "'Cat' and 'cat' are taken for different classes"),
    # classes that are named like splits, where nothing else can be meant
    Read("bus car train", "bus car train", 9, None, "folder train/ is taken for a class, not for a split"),
    Read("bus car train train/steam", "bus car train", 12, None, "folder train/ is taken for a class, not for a split"),
    Read("valid invalid", "invalid valid", 6, None, "folder valid/ is taken for a class, not for a split"),
    Read("test+tube training+shoes", "test+tube training+shoes", 6, None),
    Read("bullet_train steam_train bus", "bullet_train bus steam_train", 9, None),
    Read("bullet_train/n700 bullet_train/e5 steam_train/a steam_train/b bus/c", "bullet_train bus steam_train", 15, None),
    Read("contest latest constrain strain oval", "constrain contest latest oval strain", 15, None),
    Read("amazon/cat amazon/dog dslr/cat dslr/dog", "amazon dslr", 12, None, "all classes hold the same folders (cat, dog): are those the classes?"),
]  # fmt: skip

CLASSES = "if these folders are the classes, say options: {layout: classes}"
REFUSED = [
    Refused("train test", f"images: test/ and train/ are named as splits and hold pictures, no class folders; want images/train/<class>/<image>.jpg; {CLASSES}", ("test train",)),
    Refused("Training Testing Validation", f"images: Testing/, Training/ and Validation/ are named as splits and hold pictures, no class folders; want images/Training/<class>/<image>.jpg; {CLASSES}", ("Testing Training Validation",)),
    Refused("tr/cat tr/dog te/cat te/dog", f"images: te, tr are named as splits of a dataset, not as classes; give the folders to train and to test on as options train and test; {CLASSES}", ("te tr",)),
    Refused("cv0/cat cv0/dog cv1/cat cv1/dog", f"images: cv0, cv1 are named as parts of a dataset, not as classes; merge them; {CLASSES}", ("cv0 cv1",)),
    Refused("train/cat train/dog train/test/cat train/test/dog", "images/train: test/ among its folders is named as a split, not as a class; move or rename it"),
    Refused("train/train/cat train/train/dog train/val/cat train/val/dog test/cat test/dog", 'images/train: train/ and val/ among its folders are named as splits, not as classes; move or rename them; or say options: {train: "train/train"}', ("cat dog",)),
    Refused("train", "images: train/ is named as a split and holds pictures, no class folders; want images/train/<class>/<image>.jpg"),
    Refused("cifar_train cifar_test", f"images: cifar_test/ and cifar_train/ are named as splits and hold pictures, no class folders; want images/cifar_train/<class>/<image>.jpg; {CLASSES}", ("cifar_test cifar_train",)),
    Refused("train test/cat test/dog", "images: train/ is named as a split and holds pictures, no class folders; want images/train/<class>/<image>.jpg"),
    Refused("images/train images/test labels/train:0", "images/images: test/ and train/ are named as splits and hold pictures, no class folders; want images/images/train/<class>/<image>.jpg; if these folders are the classes, name images/images in the study and say options: {layout: classes}"),
    Refused("train/cat train/dog test/cat test/dog test:1", "images/test: 1 picture beside its class folders (0.png); move them into a class, or out of it"),
    Refused("train/cat train/dog test/cat test/dog train:5", "images/train: 5 pictures beside its class folders (0.png, 1.png, 2.png, ...); move them into a class, or out of it"),
    Refused("train/cat train/dog val/cat val/dog test/cat test:1", "images/test: 1 picture beside its class folders (0.png); move them into a class, or out of it"),
    Refused("train/cat train/dog val/cat val/dog val:1", "images/val: 1 picture beside its class folders (0.png); move them into a class, or out of it"),
    Refused("cat dog test", f"images: test/ is named as a split, but lies beside cat/ and dog/ without class folders of its own; move elsewhere what is no class; {CLASSES}", ("cat dog test",)),
    Refused("cat dog train test", f"images: test/ and train/ are named as splits, but lie beside cat/ and dog/ without class folders of their own; move elsewhere what is no class; {CLASSES}", ("cat dog test train",)),
    Refused("cat dog test/cat test/dog", f"images: has test/ but no train/ beside it; {CLASSES}", ("cat dog test",)),
    Refused("test/cat test/dog", "images: has test/ but no train/ beside it"),
    Refused("cat dog train/cat train/dog", f"images: train/ holds folders, and cat/ and dog/ lie beside it; if it holds the classes, say options: {{train: train}}; {CLASSES}", ("cat dog", "cat dog train")),
    Refused("train/steam train/diesel bus car", f"images: train/ holds folders, and bus/ and car/ lie beside it; if it holds the classes, say options: {{train: train}}; {CLASSES}", ("diesel steam", "bus car train")),
    Refused("train/cat train/dog Train/cat Train/dog", "images: Train/ and train/ may each be the train folder; say which, as in options: {train: Train}", ("cat dog",)),
    Refused("train/cat train/dog train_augmented/cat train_augmented/dog test/cat test/dog", "images: train/ and train_augmented/ may each be the train folder; say which, as in options: {train: train}", ("cat dog",)),
    Refused("a/train/cat a/train/dog a/training/cat a/test/cat", "images/a: train/ and training/ may each be the train folder; say which, as in options: {train: a/train}", ("cat dog",)),
    Refused("train/cat train/dog val/cat valid/cat", "images: val/ and valid/ may each be the test folder; say which, as in options: {test: val}", ("cat dog",)),
    Refused("train/cat train/dog test+1/cat test+2/cat", 'images: test 1/ and test 2/ may each be the test folder; say which, as in options: {test: test 1}', ("cat dog",)),
    Refused("cat/train cat/test dog/train dog/test", f"images: cat, dog each hold folders for training and for test; splits are read as train/<class>/ and test/<class>/, so move them, or name one of these folders; {CLASSES}", ("cat dog",)),
    Refused("fold1/cat fold1/dog fold2/cat fold2/dog", f"images: fold1, fold2 are named as parts of a dataset, not as classes; merge them; {CLASSES}", ("fold1 fold2",)),
    Refused("train/Cat train/dog test/cat test/dog", "images/test: class 'cat' is not in images/train, which has 'Cat': the same class needs the same name"),
    Refused("train/sea_lion train/dog test/Sea+Lion", "images/test: class 'Sea Lion' is not in images/train, which has 'sea_lion': the same class needs the same name; to hold out a share of the training images instead: options: {test: none}", ("dog sea_lion",)),
    Refused("train/cat train/dog test/unknown", "images/test: class 'unknown' is not in images/train; known: cat, dog; to hold out a share of the training images instead: options: {test: none}", ("cat dog",)),
    Refused("archive/cat archive/dog archive:1", "images: only one class folder, 'archive'; want at least 2 classes"),
]  # fmt: skip
