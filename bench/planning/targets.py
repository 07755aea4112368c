"""The datasets of a study as rows of the matrix: checked sizes, and similarity declared or measured. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data import registry
from bench.planning import measured_similarity as record
from bench.planning.load import locate, located
from bench.planning.study import DatasetEntry, Study, one_line

UNMEASURED = "unmeasured"
UNKNOWN = registry.DatasetInfo(None, None, None)


@dataclass(frozen=True)
class Target:
    """A dataset and, for each entry of its axis, the images per class that this means (for "all": the mean)."""

    label: str
    spec: DatasetSpec
    declared: str  # "similar", "dissimilar" or "measured"
    images: dict[Any, int]
    classes: int | None = None  # None: known once it is downloaded
    info: registry.DatasetInfo = UNKNOWN

    def similarity(self, backbone: BackboneSpec, study: Study, cache: Path) -> str:
        """As declared; or by the distance measured on this backbone, "unmeasured" before the first run."""
        if self.declared != "measured":
            return self.declared
        distance = record.read(self.spec, backbone, study.train.image_size, cache)
        if distance is None:
            return UNMEASURED
        return "similar" if distance <= study.matrix.similar_at_most else "dissimilar"

    def explain(self, backbones: list[BackboneSpec], study: Study, cache: Path) -> str:
        """The similarity in words, for the report."""
        if self.declared != "measured":
            return f"{self.declared} (declared)"
        words = []
        for backbone in backbones:
            distance = record.read(self.spec, backbone, study.train.image_size, cache)
            shown = "not measured yet" if distance is None else f"Fréchet distance {distance:.3f} at the stem"
            words.append(f"{self.similarity(backbone, study, cache)} on {backbone.label} ({shown})")
        return f"{'; '.join(words)}; similar is at most {study.matrix.similar_at_most}"


def make(entry: DatasetEntry, study: Study, path: Path, i: int, cache: Path | None = None) -> Target:
    """Check one dataset entry against what is known of the dataset. Raises `UserError` with its place in the file.

    cache: where digests of files are remembered, if anywhere.
    """
    with located(path, "datasets", i, "name"):
        spec, info = registry.identified(entry.name, entry.options, path.parent, cache)
    images = {}
    for j, n in enumerate(entry.n_per_class):
        with located(path, "datasets", i, "n_per_class", j):
            images[n] = _images(n, info.pool_counts)
            _check(images[n], n, info, study.train.val_share)
            if list(images.values()).count(images[n]) > 1:
                raise UserError(f"{n} means {images[n]} images per class, which stands here already")
    classes = len(info.classes) if info.classes else None
    return Target(_label(entry, path, i), spec, entry.similarity, images, classes, info)


def _images(n: int | Literal["all"], counts: list[int] | None) -> int:
    if isinstance(n, int):
        return n
    if not counts:
        raise UserError(
            '"all" needs a dataset whose images can be counted before it is downloaded; give a number'
        )
    return round(sum(counts) / len(counts))


def _check(images: int, n: Any, info: registry.DatasetInfo, val_share: float) -> None:
    if int(images * val_share + 1e-9) < 1:
        raise UserError(
            f"{n} images per class leave none for validation at val_share {val_share}; "
            f"use at least {-(-1 // val_share):.0f}"
        )
    if n != "all" and info.pool_counts and n > min(info.pool_counts):
        k = info.pool_counts.index(min(info.pool_counts))
        name = info.classes[k] if info.classes else k
        raise UserError(
            f"{n} images per class, but class {name!r} has only {info.pool_counts[k]} to train on"
        )


def _label(entry: DatasetEntry, path: Path, i: int) -> str:
    try:
        return one_line(label_of(entry))  # a folder's name may be anything
    except ValueError as error:
        raise UserError(f"{locate(path, 'datasets', i, 'name')}: {error}; give it a `label`") from None


def label_of(entry: DatasetEntry) -> str:
    """The label, or a short one made from the name: the folder's for folder:PATH, options in brackets."""
    if entry.label:
        return entry.label
    short = Path(entry.name.removeprefix("folder:")).name if entry.name.startswith("folder:") else entry.name
    options = ",".join(f"{k}={v}" for k, v in entry.options.items())
    return f"{short}({options})" if options else short
