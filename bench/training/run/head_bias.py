"""The biases that a newly drawn head starts with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bench.core.spec import TrainSpec
from bench.data.task import Task
from bench.models.model import Model
from bench.models.stages import output_layer


def init_head_bias(model: Model, task: Task, train: TrainSpec) -> None:
    """Zero, or the log of the class prior: with unbalanced labels the head then starts at the base rates."""
    if train.head_bias == "default":
        return
    counts = task.class_counts.float().clamp(min=0.5)
    prior = (counts / counts.sum()).log()
    with torch.no_grad():
        for bias in _output_biases(model.classifiers):
            bias.copy_(prior) if train.head_bias == "prior" else bias.zero_()
        for bias in _output_biases(model.auxiliary):
            bias.zero_()  # it is added to logits that start at the prior already


def _output_biases(heads: Sequence[nn.Module]) -> list[torch.Tensor]:
    """Of the output layers alone, where a head has others too."""
    layers = [output_layer(head) for head in heads]
    return [layer.bias for layer in layers if layer is not None and layer.bias is not None]
