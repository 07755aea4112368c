"""How well the network does before it is fine-tuned: nearest class mean on its features, on a run's own images.

The classifier of Mensink et al. 2013 ("Distance-Based Image Classification", TPAMI), with the cosine for a distance, as in
iCaRL (Rebuffi et al. 2017): features are scaled to length 1, each class is the mean of its training images, an image is of
the class whose mean is nearest by angle. It has no hyperparameter, so nothing is chosen on test images. It is the
performance of the original model that fine-tuning is to be at least as good as.

The score depends on the run's images, seed and backbone, not on its strategy: it is computed once and kept in the cache; in
a study by a job beside the runs (`bench.execution.baselines`). Features are shared further, through the cache of
activations of frozen layers.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.core.schema import Metric
from bench.core.seeds import derive
from bench.core.spec import RunSpec, content_hash
from bench.data.evaluation import evaluation_input
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.models.model import Model
from bench.models.passes import PassLimit
from bench.storage.files import read_document, write_document
from bench.storage.places import Places
from bench.training.cached_features.cached import Cached
from bench.training.cached_features.prefix import CLASSIFIER, Prefix
from bench.training.cached_features.store import ActivationStore, limit
from bench.training.device import Precision, placed
from bench.training.run.ingredients import make_model

VERSION = 1
"""Raise it when the score would come out differently than before."""


@dataclass(frozen=True)
class Unchanged:
    """The network of a run before training. `images`: identity of the prepared dataset."""

    spec: RunSpec
    places: Places
    task: Task
    precision: Precision
    images: str

    def scores(self, test: ImageSet) -> dict[str, float]:
        """The test accuracy of nearest class mean, and the seconds that it took this run to get it."""
        start = time.perf_counter()
        found = read_document(self._path)
        if found is None:
            try:
                found = {"accuracy": self._accuracy(test)}
            except torch.OutOfMemoryError:  # the trained network is there too; a run does not fail for this
                return {}
            with suppress(OSError):  # a full disk: it is computed again
                write_document(self._path, found)
        self.precision.synchronize()
        seconds = time.perf_counter() - start
        return {Metric.NCM_TEST_ACCURACY: found["accuracy"], Metric.NCM_SECONDS: seconds}

    def kept(self) -> dict[str, float]:
        """The same where an earlier run, or a job of its own, has computed it; else nothing."""
        start = time.perf_counter()
        if (found := read_document(self._path)) is None:
            return {}
        seconds = time.perf_counter() - start
        return {Metric.NCM_TEST_ACCURACY: found["accuracy"], Metric.NCM_SECONDS: seconds}

    @property
    def _path(self) -> Path:
        """By all that decides the score. The strategy and how it trains are not among it."""
        spec, train = self.spec, self.spec.train
        content = {
            "version": VERSION,
            "torch": torch.__version__,
            "images": [self.images, spec.n_per_class, spec.seed, spec.split, train.val_share, train.fit],
            "backbone": asdict(replace(spec.backbone, label="")),
            "size": train.image_size,
            "precision": [str(self.precision.dtype), self.precision.device.type],
        }
        return self.places.cache / "unchanged" / f"{content_hash(content)}.json"

    def _accuracy(self, test: ImageSet) -> float:
        device, classes = self.precision.device, self.task.num_classes
        devices = [device.index or 0] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), PassLimit().entered():
            torch.manual_seed(derive(self.spec.seed, "model"))  # a random network is that of the run
            model = make_model(self.spec.backbone, classes, self.spec.train.image_size, self.places)
            task = self._looking(placed(model, device).eval())
            with self.precision.autocast():
                own, other = (task.features(model, images)[0] for images in (self.task.train, test))
        labels = self.task.train.y
        guesses = nearest_class_mean(torch.from_numpy(own), labels, torch.from_numpy(other), classes)
        return (guesses == test.y).double().mean().item()

    def _looking(self, model: Model) -> Task:
        """The task, its features from the cache that runs with a frozen backbone share, if there is one."""
        if not limit():
            return self.task
        model.requires_grad_(False)
        for parameter in model.stage_parameters(model.head):
            parameter.requires_grad_(True)  # as a linear probe has it, whose activations these are
        few = evaluation_input(self.task.train, slice(2), model, self.precision.device)
        prefix = Prefix(model, CLASSIFIER, self.precision, [], few)
        cached = Cached(prefix, ActivationStore(self.places.cache / "activations", limit()))
        return replace(self.task, frozen_features=lambda images: cached.features(images, "eval"))


def nearest_class_mean(own: Tensor, labels: Tensor, other: Tensor, classes: int) -> Tensor:
    """own [N, D] with labels [N], other [M, D] -> [M] the class whose mean is nearest by cosine.

    Of classes without an image none is guessed; of equally near ones the first.
    """
    own, other = F.normalize(own.double(), dim=1), F.normalize(other.double(), dim=1)
    sums = torch.zeros(classes, own.shape[1], dtype=own.dtype).index_add_(0, labels, own)
    likeness = other @ F.normalize(sums, dim=1).T
    likeness[:, torch.bincount(labels, minlength=classes) == 0] = -torch.inf
    return likeness.argmax(dim=1)
