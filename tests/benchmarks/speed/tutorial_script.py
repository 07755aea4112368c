"""What a user would write for one cell of the quickstart's grid: a script of its own, after PyTorch's "Transfer learning for
computer vision" tutorial, run once per dataset, size, strategy and seed.

python tutorial_script.py IMAGES TEST WEIGHTS STRATEGY SEED MEAN STD: folders of classes (IMAGES/train, IMAGES/val, TEST), a timm
state dict with its own head, prints the accuracy on TEST. Imports nothing of the harness.
"""

from __future__ import annotations

import json
import math
import sys

import timm
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

EPOCHS, MIN_STEPS, BATCH, WARMUP = 3, 100, 32, 0.1
RATES = {"linear_probe": 1e-2, "last_stages": 3e-3, "full": 1e-3, "full + head_x10": 1e-3, "scratch": 1e-2}


def main(images: str, test: str, weights: str, strategy: str, seed: str, mean: str, std: str) -> None:
    torch.manual_seed(int(seed))
    torch.set_num_threads(1)
    plain = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(json.loads(mean), json.loads(std))]
    )
    train = ImageFolder(f"{images}/train", plain)
    # the validation images are looked at after each epoch, as the tutorial does
    loaders = DataLoader(train, BATCH, shuffle=True), DataLoader(ImageFolder(f"{images}/val", plain), BATCH)

    model = timm.create_model("test_resnet", num_classes=len(train.classes))
    if strategy != "scratch":
        backbone = {
            k: v for k, v in torch.load(weights, weights_only=True).items() if not k.startswith("fc.")
        }
        model.load_state_dict(backbone, strict=False)
    epochs = max(EPOCHS, math.ceil(MIN_STEPS / len(loaders[0])))
    if strategy == "staged":
        probe = max(1, round(0.3 * epochs))
        fit(model, parameters(model, "linear_probe", 1e-2), probe, *loaders)
        fit(model, parameters(model, "full", 1e-3), epochs - probe, *loaders)
    else:
        fit(model, parameters(model, strategy, RATES[strategy]), epochs, *loaders)
    print(accuracy(model, DataLoader(ImageFolder(test, plain), BATCH)))


def parameters(model: nn.Module, strategy: str, lr: float) -> list[dict[str, object]]:
    """What trains, and how fast; the rest is frozen."""
    above = {"linear_probe": ("fc.",), "last_stages": ("layer3.", "layer4.", "fc.")}.get(strategy, ("",))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(above)
    head = [p for n, p in model.named_parameters() if n.startswith("fc.")]
    backbone = [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("fc.")]
    groups: list[dict[str, object]] = [
        {"params": head, "lr": lr * (10 if strategy.endswith("head_x10") else 1)}
    ]
    return groups + ([{"params": backbone, "lr": lr}] if backbone else [])


def fit(
    model: nn.Module, groups: list[dict[str, object]], epochs: int, train: DataLoader, val: DataLoader
) -> None:
    steps = epochs * len(train)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    warm = max(1, round(WARMUP * steps))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        model.train()
        running_loss = 0.0
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss += loss.item() * inputs.size(0)
        accuracy(model, val)


def accuracy(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    right = count = 0
    with torch.no_grad():
        for inputs, labels in loader:
            right += int((model(inputs).argmax(1) == labels).sum())
            count += len(labels)
    return right / count


if __name__ == "__main__":
    main(*sys.argv[1:])
