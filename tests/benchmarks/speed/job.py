"""What all sides train, so that they differ in their loops only: network, first weights, images, recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data.augment import RATIO, SCALE
from bench.models.build import build
from bench.models.data_config import resolve
from bench.models.model import Model
from bench.training.run.pretrain import pretrain
from tests.benchmarks.speed.images import CLASSES, home
from tests.benchmarks.speed.measure import Run

CROP_PCT = 0.875
_INTERPOLATION = transforms.InterpolationMode.BILINEAR


@dataclass(frozen=True)
class Job:
    """One run to train: SGD with momentum 0.9, cosine from `lr` to zero, whole batches only.

    frozen: stages from the stem up that do not train. pretrained: weights from the synthetic datasets' source
    classes, else random ones.
    """

    folder: Path
    network: str
    size: int
    epochs: int
    lr: float = 0.02
    batch: int = 64
    frozen: int = 0
    augment: Literal["crop", "flip"] = "crop"
    pretrained: bool = True
    seed: int = 0

    @property
    def spec(self) -> BackboneSpec:
        config = {"crop_pct": CROP_PCT, "interpolation": "bilinear"}
        if not self.pretrained:
            return BackboneSpec(self.network, "random", data_config=config)
        return BackboneSpec(
            self.network, "checkpoint", checkpoint=str(_weights(self.network)), data_config=config
        )

    def model(self) -> Model:
        """With a head of its own for every seed."""
        torch.manual_seed(self.seed)
        return build(self.spec, CLASSES, self.size)

    def net(self) -> nn.Module:
        """The same network with the same weights, as timm gives it."""
        return self.model().net

    def frozen_net(self) -> nn.Module:
        """As tutorials freeze: gradients off, normalisation layers left as they are."""
        model = self.model()
        for stage in model.stages[: self.frozen]:
            for parameter in model.stage_parameters(stage):
                parameter.requires_grad_(False)
        return model.net

    @property
    def normalise(self) -> transforms.Normalize:
        spec = self.spec
        config = resolve(spec, self.size, Path(spec.checkpoint) if spec.checkpoint else None)
        return transforms.Normalize(config.mean, config.std)

    def train_images(self) -> ImageFolder:
        first = (
            transforms.RandomResizedCrop(self.size, SCALE, RATIO, _INTERPOLATION)
            if self.augment == "crop"
            else self._central()
        )
        flip = transforms.RandomHorizontalFlip()
        return ImageFolder(
            self.folder / "train", transforms.Compose([first, flip, transforms.ToTensor(), self.normalise])
        )

    def _central(self) -> Callable[..., object]:
        resize = transforms.Resize(round(self.size / CROP_PCT), _INTERPOLATION)
        return transforms.Compose([resize, transforms.CenterCrop(self.size)])

    def accuracy(self, net: nn.Module) -> float | None:
        """On the test folder, per-image transforms, outside of what is timed.

        None from random weights: in so few steps nothing is learned that could be compared.
        """
        if not self.pretrained:
            return None
        plain = transforms.Compose([self._central(), transforms.ToTensor(), self.normalise])
        right = count = 0
        net.eval()
        with torch.no_grad():
            for x, y in DataLoader(ImageFolder(self.folder / "test", plain), 100):
                right += (net(x).argmax(1) == y).sum().item()
                count += len(y)
        return right / count


Side = Callable[[Job], Run]
"""Trains the job its own way."""


RECIPES = {
    "mobilenetv3_small_050": {"epochs": 12},
    "resnet18": {"epochs": 4},
    "vit_tiny_patch16_224": {"epochs": 4, "lr": 1e-3},
}


@lru_cache
def _weights(network: str) -> Path:
    """Trained once on 40 other classes at 64 px, a few minutes each, then kept in the cache."""
    source = DatasetSpec("synthetic/source", {"pool_per_class": 100, "test_per_class": 5})
    spec = BackboneSpec(network, "source", source=source, source_train=RECIPES[network], label=network)
    return pretrain(spec, 64, Path("."), home()).path
