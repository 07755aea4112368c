"""Datasets by timm's names: torch/NAME (torchvision), hfds/, hfids/, tfds/, wds/. Downloaded when prepared.

Nothing is imported until then: `inspect` knows neither classes nor counts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, nearest
from bench.data import identity
from bench.data.decoding.damaged import SKIP, Damaged
from bench.data.family import Chunk, DatasetInfo, Family, Request, Resolution, Stream, refuse_changed
from bench.data.identity import Unreadable
from bench.data.options import RANGE, Option
from bench.storage.places import place

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image, Resampling

    from bench.data.decoding.ranges import Range

# torch/ names of timm beside its table: folders go by `folder:PATH`
_MORE_TORCH_NAMES = ("imagenet", "inaturalist", "inat", "places365", "qmnist")


@dataclass(frozen=True)
class _Kind:
    """A prefix of timm's dataset names; `package` must be installed for it."""

    prefix: str
    summary: str
    package: str
    test_split: str


_KINDS = [
    _Kind(
        "torch",
        "torchvision's datasets: cifar10, mnist, imagenet, ...",
        "torchvision",
        "validation",
    ),
    _Kind("hfds", "Hugging Face datasets, by repository name", "datasets", "test"),
    _Kind("hfids", "Hugging Face datasets, streamed", "datasets", "test"),
    _Kind("tfds", "TensorFlow datasets", "tensorflow_datasets", "test"),
    _Kind("wds", "WebDataset shards in the folder `root`", "webdataset", "validation"),
]


class External(Family):
    """Datasets of one of timm's prefixes."""

    def __init__(self, kind: _Kind) -> None:
        self._kind = kind
        self.name, self.prefix, self.summary = f"{kind.prefix}/NAME", f"{kind.prefix}/", kind.summary
        self.options = {
            "root": Option(str, None, "folder of the dataset; none: in the cache, downloaded there"),
            "train_split": Option(str, "train", "the split to train and validate on"),
            "test_split": Option(str, kind.test_split, "the split to test on"),
            "label": Option(str, None, "the field that holds the label, where it is not timm's default"),
            "range": RANGE,
            "skip_damaged": SKIP,
        }

    def inspect(self, request: Request) -> DatasetInfo:
        self._check(request)
        notes = [
            "classes and counts are known once it is downloaded",
            f"the test set is the split {request.options['test_split']}",
        ]
        return DatasetInfo(None, None, None, notes, self._content(request))

    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        self._check(request)
        root = request.options["root"] and str(_given_root(request).resolve())
        content = self._content(request)
        refuse_changed(request, content)
        return {
            "name": request.name,
            "options": {**request.options, "root": root},
            "decoding": DECODING,
            "resolution": resolution.content(),
            **({"files": content} if content else {}),
        }

    def _content(self, request: Request) -> str:
        """Digest of shards, which are the user's own files. What is downloaded is not there yet: its name stands for it."""
        if self._kind.prefix != "wds" or not request.options["root"]:
            return ""
        root = _given_root(request)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        found = zip(files, identity.digests(root, files, request.cache), strict=True)
        return identity.content(((str(path.relative_to(root)), 0, d.sha256) for path, d in found), len(files))

    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        from bench.storage.arrays import locked

        if self._kind.prefix == "torch":
            _check_torch_name(request)
        root = _root(request, cache)
        with locked(cache / "downloads" / ".lock"):  # two processes must not unpack into one folder
            test, pool = (_create(request, split, root) for split in ("test_split", "train_split"))
        damaged, found = Damaged(request.options["skip_damaged"]), list[str]()

        def to_the_end() -> Iterator[Chunk]:
            yield from _read(pool, "train", request, resolution, damaged, resolution.crops)
            found.extend(damaged.settle(f"dataset {request.name!r}, "))

        test_chunks = _read(test, "test", request, resolution, damaged)
        return Stream(_class_names(pool), test_chunks, to_the_end(), found=found)

    def _check(self, request: Request) -> None:
        package = self._kind.package
        if importlib.util.find_spec(package) is None:
            raise UserError(f"dataset {request.name!r} needs the package {package!r}: pip install {package}")
        _refuse_code(request, package)
        if request.options["train_split"] == request.options["test_split"]:
            raise UserError(f"dataset {request.name!r}: train_split and test_split are the same split")


def _refuse_code(request: Request, package: str) -> None:
    """Raises UserError where the name alone would make the library run code that the dataset's authors wrote."""
    if package == "tensorflow_datasets" and ":" in request.argument:
        raise UserError(
            f"dataset {request.name!r}: community datasets (with a colon) are code, which is not run"
        )
    if package == "datasets":
        with suppress(PackageNotFoundError):  # where it is no package, it fails when it is imported
            if int(version(package).partition(".")[0]) < 4:
                raise UserError(
                    f"dataset {request.name!r}: datasets {version(package)} may run scripts of a repository; "
                    "pip install 'datasets>=4'"
                )


DECODING = 3
"""Raise it when images would be made squares of pixels differently than before."""

EXTERNALS: list[Family] = [External(kind) for kind in _KINDS]


def _check_torch_name(request: Request) -> None:
    from bench.core.compat.timm import torch_datasets

    known = {*torch_datasets(), *_MORE_TORCH_NAMES}
    if request.argument.lower() not in known:
        raise UserError(f"unknown dataset {request.name!r}{nearest(request.argument, known)}")


def _root(request: Request, cache: Path) -> Path:
    root = _given_root(request) if request.options["root"] else cache / "downloads"
    root.mkdir(parents=True, exist_ok=True)
    return root


def _given_root(request: Request) -> Path:
    return place(request.base, request.options["root"])


def _create(request: Request, split_option: str, root: Path) -> Any:
    """timm's dataset of one split, downloaded if need be. Raises UserError with the reason."""
    import timm.data

    split, label = request.options[split_option], request.options["label"]
    field = {"target_key": label} if label else {}
    try:
        dataset = timm.data.create_dataset(request.name, root=str(root), split=split, download=True, **field)
        if request.name.startswith("hfids/"):  # else greys of 16 bits come clipped at 255
            dataset.reader.input_img_mode = None
        return dataset
    except (OSError, RuntimeError, ValueError, KeyError, ImportError, AssertionError) as error:
        where = f"dataset {request.name!r}, {split_option} {split!r}"
        raise UserError(f"{where}: {error or type(error).__name__} (folder: {root})") from error


def _class_names(dataset: Any) -> list[str] | None:
    """In the order of their labels, where the dataset tells."""
    to_index = getattr(getattr(dataset, "reader", None), "class_to_idx", None)
    if to_index:
        return [str(name) for name, _ in sorted(to_index.items(), key=lambda item: item[1])]
    names = getattr(dataset, "classes", None)
    return [str(name) for name in names] if names else None


def _read(
    dataset: Any,
    split: str,
    request: Request,
    resolution: Resolution,
    damaged: Damaged,
    crops: bool = False,
) -> Iterator[Chunk]:
    from bench.data.decoding import ranges
    from bench.data.decoding.decode import CHUNK, in_parallel, resampling_filter

    resample = resampling_filter(resolution.interpolation)
    grey = ranges.given(request.options["range"])
    decode = partial(_squares, resample=resample, grey=grey, dataset=request.name)
    pairs = _pairs(dataset, split)
    sides, done = [resolution.stored], 0
    while chunk := list(islice(pairs, CHUNK)):
        if done == 0 and crops:
            sizes = [image.size for image, _ in chunk if not isinstance(image, Unreadable)]
            sides = resolution.sides(max(map(min, sizes), default=0))
        found = next(in_parallel(partial(decode, sides=sides), chunk))
        names = [f"{split} image {done + i}" for i in range(len(chunk))]
        for i, reason in found.failed.items():
            damaged.add(names[i], reason, split == "test")
        if found.kept:
            labels = [_label(chunk[i][1], names[i], request) for i in found.kept]
            yield Chunk([names[i] for i in found.kept], labels, *found.images)
        done += len(chunk)


def _squares(
    pair: tuple[Image | Unreadable, Any],
    sides: list[int],
    resample: Resampling,
    grey: Range | None,
    dataset: str,
) -> list[np.ndarray]:
    from bench.data.decoding.decode import squares, unreadable
    from bench.data.decoding.pixels import is_grey

    image = pair[0]
    if isinstance(image, Unreadable):
        raise image
    if grey is None and is_grey(image):
        raise UserError(
            f"dataset {dataset!r}: its greys have more than 8 bits; say which values are black and white by "
            "`options: {range: [low, high]}`, [0, 65535] for all of 16 bits"
        )
    with unreadable():
        return squares(image, sides, resample, grey)


def _pairs(dataset: Any, split: str) -> Iterator[tuple[Image | Unreadable, Any]]:
    """(image, or why there is none; label) of a dataset that is indexed, or else iterated.

    Raises UserError where iterating fails: there is no going on behind that.
    """
    if not hasattr(dataset, "__iter__"):
        yield from (_at(dataset, i) for i in range(len(dataset)))
        return
    images, done = iter(dataset), 0
    while True:
        try:
            pair = next(images)
        except StopIteration:
            return
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(
                f"{split} image {done}: cannot be read ({error or type(error).__name__})"
            ) from error
        yield pair
        done += 1


def _at(dataset: Any, i: int) -> tuple[Image | Unreadable, Any]:
    """Not by timm's own indexing, which takes the next image for a damaged one, and clips greys of 16 bits at 255."""
    from timm.data import ImageDataset

    from bench.data.decoding.decode import unreadable

    try:
        with unreadable():
            if isinstance(dataset, ImageDataset):
                from PIL import Image

                file, label, *_ = dataset.reader[i]
                return Image.open(file), label
            image, label = dataset[i][:2]
            return image, label
    except Unreadable as error:
        return error, None


def _label(label: Any, name: str, request: Request) -> int:
    try:
        return int(label)
    except (TypeError, ValueError):
        raise UserError(f"dataset {request.name!r}: {name} has label {label!r}, want a number") from None
