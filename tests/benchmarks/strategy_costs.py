"""What each strategy costs as a multiple of plain full fine-tuning, side by side: full, it, full, it.

    python -m tests.benchmarks.strategy_costs [NAME ...]

writes them into strategies/costs.json, where those of other strategies stay (half an hour for all).

resnet18 at 64 px with random weights, 64 images of 10 classes, batches of 32, four epochs, one thread. Only ratios are
kept; what a strategy does before and between its phases counts. Not part of the cost: training a teacher, which all
runs of a task share.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch

import strategies
from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, TrainSpec
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.methods.api import Strategy
from bench.models.build import build
from bench.models.model import Model
from bench.planning import compose
from bench.training.cost import Clock
from bench.training.device import choose
from bench.training.loop import Trainer
from tests.support.strategy_samples import source_head

NETWORK, SIZE, CLASSES, IMAGES, EPOCHS, ROUNDS = "resnet18", 64, 10, 64, 4, 3
FILE = Path(strategies.__file__).with_name("costs.json")
TRAIN = TrainSpec(epochs=EPOCHS, batch_size=32, optimizer="momentum", precision="fp32")


def make_task() -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (2 * IMAGES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    y = torch.arange(IMAGES) % CLASSES
    few = ImageSet(x[:CLASSES], y[:CLASSES])
    return Task(ImageSet(x[:IMAGES], y), few, CLASSES, EPOCHS, 32, x[IMAGES:], make_model)


def make_model() -> Model:
    torch.manual_seed(0)
    spec = BackboneSpec(NETWORK, "random", kwargs={"zero_init_last": False})
    model = build(spec, CLASSES, SIZE).to(memory_format=torch.channels_last)
    model._load_source_head = source_head(model.feature_dim)
    return model


def seconds(expression: str) -> tuple[float, float, int]:
    """(all of it, of it preparation, parameters trained at most): of this one thread's processor time, so that what
    else the machine does counts little."""
    model, task = make_model(), make_task()
    teacher = make_model().eval()
    task = dataclasses.replace(task, teacher=lambda: teacher)
    precision = choose(TRAIN)
    clock = Clock(precision)
    trainer = Trainer(model, task, TRAIN, precision, clock, 0, lambda e, n, m: None)
    start = time.process_time()
    trainer.run(compose.build(compose.parse(expression, {})))
    used = time.process_time() - start
    wall = {kind: clock.seconds[kind] for kind in ("prepare", "train", "eval")}
    share = used / sum(wall.values())
    return share * (wall["prepare"] + wall["train"]), share * wall["prepare"], trainer.trainable


def measure(name: str) -> dict[str, float]:
    expression = name if issubclass(strategies.get(name), Strategy) else f"full + {name}"
    ratios, preparations = [], []
    for _ in range(ROUNDS):
        base, _, trained = seconds("full")
        total, preparation, own = seconds(expression)
        ratios.append(total / base)
        preparations.append(preparation / base)
    return {
        "seconds": round(statistics.median(ratios), 3),
        "preparation": round(statistics.median(preparations), 3),
        "trainable": float(f"{own / trained:.3g}"),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    found = {}
    for name in sys.argv[1:] or strategies.TABLE:
        start = time.perf_counter()
        try:
            found[name] = measure(name)
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name}: {found[name]} ({time.perf_counter() - start:.0f} s)", file=sys.stderr)
    measured = (
        f"medians of {ROUNDS} ratios of processor time to plain full fine-tuning run alternately, {NETWORK} at {SIZE} px, "
        f"{IMAGES} images, {EPOCHS} epochs, one thread, {platform.machine()}, torch {torch.__version__}, "
        f"{date.today()} (`python -m tests.benchmarks.strategy_costs`); other networks and sizes differ"
    )
    known = json.loads(FILE.read_text())["strategies"] if FILE.exists() else {}
    kept = {name: (known | found)[name] for name in strategies.TABLE if name in known | found}
    FILE.write_text(json.dumps({"measured": measured, "strategies": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
