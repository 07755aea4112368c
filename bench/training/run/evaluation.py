"""What a trained network makes of the validation, test and training images of its run."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.core.records.predictions import Predictions
from bench.core.schema import Metric
from bench.core.spec import DatasetSpec, content_hash
from bench.data.images import ImageSet
from bench.training.evaluate import score
from bench.training.loop import Trainer


@dataclass(frozen=True)
class Evaluation:
    """predictions: of the test images; None where they were not opened."""

    metrics: dict[str, float] = field(default_factory=dict)
    predictions: Predictions | None = None


def score_validation(trainer: Trainer) -> dict[str, float]:
    """Nothing where the validation images were trained on: they have no more to say."""
    if trainer.task.apart is not None:
        return {}
    val = score(trainer.predict(trainer.task.val), trainer.task.val.y)
    return {Metric.VAL_ACCURACY: val.accuracy, Metric.VAL_NLL: val.nll}


def count_validation(trainer: Trainer) -> dict[str, float]:
    """How many images a trial is judged on, which says how much luck is in its accuracy."""
    return {Metric.VAL_IMAGES: len(trainer.task.val)}


def score_test(trainer: Trainer, images: ImageSet, dataset: DatasetSpec) -> Evaluation:
    """Of the network as it is now, on the test images."""
    logits = trainer.predict(images)
    test = score(logits, images.y)
    metrics = {
        Metric.TEST_ACCURACY: test.accuracy,
        Metric.TEST_CLASS_ACCURACY: test.mean_class_accuracy,
        Metric.TEST_NLL: test.nll,
        Metric.TEST_ECE: test.ece,
        Metric.TEST_LARGEST_CLASS: largest_class(images.y),
    }
    return Evaluation(metrics, predictions_of(logits, images.y, dataset))


def score_training(trainer: Trainer) -> dict[str, float]:
    """Of the last epoch, as far as it has any, and of always saying the largest class."""
    accuracy = trainer.epochs.train_accuracy
    known = {} if accuracy is None else {Metric.TRAIN_ACCURACY_END: accuracy}
    return {**known, Metric.TRAIN_LARGEST_CLASS: largest_class(trainer.task.train.y)}


def largest_class(y: Tensor) -> float:
    """Its share of the labels [N]."""
    return int(y.bincount().max()) / len(y)


def predictions_of(logits: Tensor, y: Tensor, dataset: DatasetSpec) -> Predictions:
    """Of logits [N, K] against labels [N]: the same classes that the accuracy counts."""
    log_p = logits.log_softmax(dim=-1)
    predicted = log_p.exp().max(dim=-1).indices
    logs = (log_p.gather(1, index[:, None])[:, 0].numpy() for index in (predicted, y))
    return Predictions.of(digest_of(dataset, y), logits.shape[1], y.numpy(), predicted.numpy(), *logs)


def digest_of(dataset: DatasetSpec, y: Tensor) -> str:
    """Digest of the images and labels that a dataset is tested on: the same at every size of images.

    A folder is known by its files' content, wherever it lies.
    """
    own = {"name": dataset.name} if not dataset.content else {"content": dataset.content}
    labels = y.to(torch.int64).numpy().tobytes().hex()
    return content_hash({**own, "options": dataset.options, "labels": content_hash(labels)}, 12)
