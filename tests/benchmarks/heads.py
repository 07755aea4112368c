"""Many heads as one against one after another, on the same cached features: `python -m tests.benchmarks.heads [ROUNDS]`.

Linear classifiers of K learning rates and decays on 2,000 images, 10 classes, 20 epochs, batch 64, nesterov SGD with
cosine factors; one thread. One after another: nn.Linear, autograd and torch's fused SGD on the same features in the same
order. Ratios of CPU time in A B A B order, median and range over rounds; final losses must agree to 1e-4. (K = 128
one after another is 16 heads, times 8.) Then how the batched time grows with the images.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.spec import TrainSpec
from bench.training.epoch_order import EpochOrder
from bench.training.heads.update_rules import update_rule_of
from bench.training.heads.vectorized import Heads, HeadTrainer

CLASSES, BATCH, EPOCHS = 10, 64, 20
AT_MOST = 16  # heads that are really trained one after another


def features(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Rectified clusters, as pooled features of a convolutional network are."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (n,), generator=generator)
    centres = torch.randn(CLASSES, d, generator=generator)
    return (1.5 * centres[y] / d**0.5 + torch.randn(n, d, generator=generator)).relu(), y


def settings(k: int) -> tuple[list[float], list[float]]:
    rates = torch.logspace(-3, -1, k).tolist()
    return rates, [0.0 if i % 2 else 1e-3 for i in range(k)]


def fresh(k: int, d: int) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(d, CLASSES) for _ in range(k)]


def factors(n: int) -> list[float]:
    steps = EPOCHS * (n // BATCH)
    return [0.5 * (1 + math.cos(math.pi * i / steps)) for i in range(steps)]


def orders(n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(n, generator=generator)[: n // BATCH * BATCH] for _ in range(EPOCHS)]


def one_after_another(z: Tensor, y: Tensor, k: int) -> Tensor:
    """-> [K] losses of the last epoch."""
    rates, decays = settings(k)
    layers = fresh(k, z.shape[1])[:AT_MOST] if k > AT_MOST else fresh(k, z.shape[1])
    return torch.stack(
        [alone(z, y, layer, lr, wd) for layer, lr, wd in zip(layers, rates, decays, strict=False)]
    )


def alone(z: Tensor, y: Tensor, layer: nn.Linear, lr: float, decay: float) -> Tensor:
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias]}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True)
    schedule, loss_sum = iter(factors(len(y))), torch.zeros(())
    for order in orders(len(y)):
        loss_sum = torch.zeros(())
        for index in order.split(BATCH):
            factor = next(schedule)
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
            loss = F.cross_entropy(layer(z[index]), y[index])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss_sum += loss.detach()
    return loss_sum / (len(y) // BATCH)


def at_once(z: Tensor, y: Tensor, k: int) -> Tensor:
    """-> [K] losses of the last epoch."""
    rates, decays = settings(k)
    rule = update_rule_of(TrainSpec(optimizer="sgd"))
    assert rule
    trainer = HeadTrainer(Heads.of(fresh(k, z.shape[1])), rule, rates, decays)
    schedule, steps = factors(len(y)), len(y) // BATCH
    for epoch, order in enumerate(orders(len(y))):
        scores = trainer.epoch(
            z, EpochOrder(order, y[order]), BATCH, schedule[epoch * steps : (epoch + 1) * steps]
        )
    return scores.loss


def seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def ratio(d: int, k: int, rounds: int) -> str:
    z, y = features(2000, d)
    at_once(z, y, 2)
    ratios, batched = [], []
    for _ in range(rounds):
        single, expected = seconds(lambda: one_after_another(z, y, k))
        together, found = seconds(lambda: at_once(z, y, k))
        worst = (found[: len(expected)] - expected).abs().max().item()
        assert worst < 1e-4, f"losses differ by {worst}"
        ratios.append(single * k / len(expected) / together)
        batched.append(together)
    spread = f"[{min(ratios):.1f}-{max(ratios):.1f}]"
    return f"| {d} | {k} | {median(ratios):.1f} {spread} | {median(batched):.2f} s | {worst:.0e} |"


def main(rounds: str = "3") -> None:
    torch.set_num_threads(1)
    print("| D | K | one after another / at once | at once, CPU | losses differ by |\n|---|---|---|---|---|")
    for d in (512, 1024):
        for k in (1, 8, 32, 128):
            print(ratio(d, k, int(rounds)), flush=True)
    print("\n| images | at once, K = 8, D = 512 | per image |\n|---|---|---|")
    for n in (1000, 4000, 16000, 64000):
        z, y = features(n, 512)
        spent = min(seconds(lambda z=z, y=y: at_once(z, y, 8))[0] for _ in range(2))
        print(f"| {n} | {spent:.2f} s | {spent / n / EPOCHS * 1e6:.2f} us |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
