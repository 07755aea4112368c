"""A phase's frozen prefix together with what it made of the images: what the loop asks instead of running it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.data.augment import taken, view
from bench.data.images import ImageSet
from bench.data.views import AS_THEY_ARE, Views
from bench.models import passes
from bench.models.types import Output
from bench.training.cached_features.prefix import CLASSIFIER, TOLERANCE, Prefix, close
from bench.training.cached_features.store import ActivationStore
from bench.training.profile_marks import SILENT, Parts

CHUNK = 128
SAMPLE = 4  # images on which what is stored is compared with what the network gives


class Cached:
    """Activations at the border of a prefix, by image set and views."""

    def __init__(self, prefix: Prefix, store: ActivationStore, parts: Parts = SILENT) -> None:
        self.prefix, self.store, self._part = prefix, store, parts
        self._fingerprint = prefix.fingerprint()
        self._rows: dict[tuple[int, str, int], Tensor | None] = {}
        self._sets: list[ImageSet] = []  # kept alive: their ids must stay theirs

    def holds(self) -> bool:
        """Whether the prefix is still what it was when this was made."""
        return self.prefix.fingerprint() == self._fingerprint

    def skipped(self, images: ImageSet, views: Views) -> str:
        """What of the network steps on these do not run, as `bench.training.cost.step_flops` takes it: "" where all does."""
        if self.rows(images, views) is None:
            return ""
        if self.prefix.border != CLASSIFIER:
            return self.prefix.border
        first = self.prefix.model.classifiers[0]
        return next(f"{n}:" for n, module in self.prefix.model.net.named_modules() if module is first)

    def rows(self, images: ImageSet, views: Views, looks: int = 1, kind: str = "train") -> Tensor | None:
        """[N * views, ...] by number of the view, unpacked on use; None where computing them would not pay, or cannot.

        looks: how often each image will be looked at, if nobody has computed its activations before. kind: of the
        work that they are for, "train" or "eval".
        """
        where = (id(images), views.kind, views.count)
        if where not in self._rows:
            self._sets.append(images)
            with self._part("make"):
                self._rows[where] = self._open(images, views, looks, kind)
        return self._rows[where]

    def features(self, images: ImageSet, kind: str = "train") -> Tensor | None:
        """[N, D] that the classifier takes, of the images as they are; None where they are not what is cached."""
        rows = self.rows(images, AS_THEY_ARE, kind=kind) if self.prefix.border == CLASSIFIER else None
        return None if rows is None else self._unpacked(rows).flatten(1)

    def logits(self, images: ImageSet, batch_size: int) -> Tensor | None:
        """[N, K] float32 on the CPU, of the images as they are, in eval mode; None where nothing is cached."""
        rows = self.rows(images, AS_THEY_ARE, kind="eval")
        if rows is None:
            return None
        with self.prefix.still():
            parts = [self._logits(self._unpacked(part)).float().cpu() for part in rows.split(batch_size)]
        return torch.cat(parts)

    def _logits(self, activations: Tensor) -> Tensor:
        # copies: an activation in place right above the border must not write into what is kept
        return passes.run(self.prefix.model, lambda part, _: self.prefix.logits(part.clone()), activations)

    def output(self, rows: Tensor, numbers: Tensor, pixels: Callable[[], Tensor]) -> Output:
        """The forward pass of the views of these numbers [B]; `pixels` makes them, should they be needed."""
        with self._part("read"):
            activations = self._unpacked(rows[numbers.to(rows.device)])

        def observe(activations: Tensor, part: slice) -> Output:
            return self.prefix.observe(activations, lambda: pixels()[part])

        return passes.run(self.prefix.model, observe, activations)

    def _unpacked(self, rows: Tensor) -> Tensor:
        return self.prefix.unpack(rows.to(self.prefix.precision.device))

    def _open(self, images: ImageSet, views: Views, looks: int, kind: str) -> Tensor | None:
        key = self._key(images, views)
        if looks < views.count and not self.store.has(key):
            return None
        for _ in range(2):  # what does not agree is thrown away, and made once more
            size = len(images) * views.count * self.prefix.row_bytes
            entry = self.store.get_or_make(key, size, lambda: self._make(images, views), kind)
            if entry is None:
                return None
            if self._agrees(entry.rows, images, views):
                return self._at_hand(entry.rows)
            self.store.drop(key)
        return None

    def _at_hand(self, rows: Tensor) -> Tensor:
        """On the GPU where they take no more than a quarter of what is free there."""
        device = self.prefix.precision.device
        fits = device.type == "cuda" and rows.nbytes < torch.cuda.mem_get_info(device)[0] // 4
        return rows.to(device) if fits else rows

    def _make(self, images: ImageSet, views: Views) -> Iterator[Tensor]:
        for numbers in torch.arange(len(images) * views.count).split(CHUNK):
            with self.prefix.still():
                yield self.prefix.pack(self._activations(self._pixels(images, views, numbers)))

    def _activations(self, x: Tensor) -> Tensor:
        return passes.run(self.prefix.model, lambda part, _: self.prefix.activations(part), x)

    def _agrees(self, rows: Tensor, images: ImageSet, views: Views) -> bool:
        """Whether some stored rows, the last ones, are what the network gives today."""
        if len(rows) != len(images) * views.count:
            return False
        numbers = torch.arange(len(rows))[-SAMPLE:]
        with self.prefix.still():
            fresh = self.prefix.pack(self.prefix.activations(self._pixels(images, views, numbers)))
        return close(rows[-SAMPLE:].to(fresh.device), fresh, TOLERANCE[self.prefix.precision.dtype])

    def _pixels(self, images: ImageSet, views: Views, numbers: Tensor) -> Tensor:
        model = self.prefix.model
        device = self.prefix.precision.device
        drawn = views.drawn(numbers)
        chosen = taken(views.source(images), numbers // views.count, drawn, model.image_size, device)
        return view(chosen, drawn, model.image_size, model.mean, model.std)

    def _key(self, images: ImageSet, views: Views) -> dict[str, Any]:
        model, precision = self.prefix.model, self.prefix.precision
        return {
            "version": 1,
            "torch": torch.__version__,
            "border": self.prefix.border,
            "network": self._fingerprint,
            "images": _digest(views.source(images)),
            "views": [views.kind, views.count],
            "look": [model.image_size, list(model.mean), list(model.std)],
            "precision": [str(precision.dtype), precision.device.type],
        }


def _digest(images: ImageSet) -> str:
    digest = hashlib.sha256(f"{len(images)} of {images.side} px".encode())
    for index in torch.arange(len(images)).split(1024):
        digest.update(images.at(index).contiguous().numpy().data)
    return digest.hexdigest()[:32]
