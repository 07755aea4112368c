"""Accuracy, likelihood and calibration of a model on a set of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.evaluation import evaluation_batches
from bench.data.images import ImageSet
from bench.models.model import Model
from bench.training.device import Precision


@dataclass(frozen=True)
class Scores:
    """Fractions in [0, 1]; nll in nats. Mean class accuracy is over the classes present."""

    accuracy: float
    mean_class_accuracy: float
    nll: float
    ece: float


@torch.no_grad()
def predict(model: Model, images: ImageSet, precision: Precision, batch_size: int = 64) -> Tensor:
    """Logits [N, K] in float32 on the CPU, the model in eval mode."""
    logits = []
    with model.in_eval_mode():
        for x in evaluation_batches(images, model, batch_size, precision.device):
            with precision.autocast():
                logits.append(model(x).float().cpu())
    return torch.cat(logits)


def score(logits: Tensor, y: Tensor, bins: int = 15) -> Scores:
    """Scores of logits [N, K] against labels [N]. ECE after Guo et al. 2017: equal-width confidence bins."""
    log_p = logits.log_softmax(dim=-1)
    confidence, prediction = log_p.exp().max(dim=-1)
    correct = (prediction == y).float()
    per_class = [correct[y == k].mean() for k in y.unique()]
    bin_of = (confidence * bins).ceil().clamp(1, bins).long() - 1
    gap = torch.zeros(bins).index_add_(0, bin_of, correct - confidence)
    return Scores(
        accuracy=correct.mean().item(),
        mean_class_accuracy=torch.stack(per_class).mean().item(),
        nll=-log_p.gather(1, y[:, None]).mean().item(),
        ece=(gap.abs().sum() / len(y)).item(),
    )
