"""From the wish to train to the first training step: a job for a worker that is running, against a new
process.

The same tiny run on both sides: a small network built, decoded images at hand. The new process imports
torch and timm as a script must, and nothing of the harness; the worker has long imported both, and is asked
through the pool.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from bench.core.jobs import Emit, Ended, Job
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data.images import ImageSet
from bench.data.prepare import Resolution, load, prepare
from bench.execution.executors.pool import LocalPool
from bench.storage.places import Places
from bench.training.run.ingredients import make_model
from tests.benchmarks.speed.images import folder, home
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Spent, figure, over

GOAL = 40.0
NETWORK, SIZE = "test_resnet", 64

_SCRIPT = """
import time
import sys
import torch
import timm
from torchvision import transforms
from torchvision.datasets import ImageFolder
torch.set_num_threads(1)
data = ImageFolder(sys.argv[1], transforms.Compose([transforms.Resize(64), transforms.ToTensor()]))
loader = torch.utils.data.DataLoader(data, 32, shuffle=True)
model = timm.create_model("test_resnet", num_classes=10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, y = next(iter(loader))
print(time.process_time(), time.time())
"""


def start(settings: Settings) -> list[Figure]:
    images = folder(200)
    places = Places(Path("."), home())
    path = prepare(DatasetSpec(f"folder:{images}"), Resolution(SIZE, SIZE), places.base, places.cache)
    pool = LocalPool(1, threads=1)
    try:
        _worker(pool, path)
        _script(images)
        rounds = settings.rounds(7)
        pairs = [(_script(images), _worker(pool, path)) for _ in range(rounds)]
    finally:
        pool.close()
    ratios, wall = over([s for s, _ in pairs], [w for _, w in pairs])
    script, worker = (
        sorted(side, key=lambda spent: spent.cpu)[len(pairs) // 2] for side in zip(*pairs, strict=True)
    )
    more = f"seconds of the processor, medians: {script.cpu:.2f} and {worker.cpu:.3f}"
    return [figure("start: of a run, against a new process", ratios, wall, goal=GOAL, more=more)]


def imports(*modules: str) -> Spent:
    """What a new process takes until it has imported them; the median of three."""
    script = f"import {', '.join(modules)}, time; print(time.process_time(), time.time())"
    return sorted((_until([sys.executable, "-c", script]) for _ in range(3)), key=lambda spent: spent.cpu)[1]


def _script(images: Path) -> Spent:
    return _until([sys.executable, "-c", _SCRIPT, str(images / "train")])


def _until(command: list[str]) -> Spent:
    """A process that prints its processor time and the clock when it has come so far."""
    begun = time.time()
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}  # the pool sets them
    done = subprocess.run(command, env=plain, check=True, capture_output=True, text=True)
    cpu, ready = map(float, done.stdout.split())
    return Spent(cpu, ready - begun)


def _worker(pool: LocalPool, path: Path) -> Spent:
    begun, own = time.time(), time.process_time()
    job = Job("start", f"{__name__}:first_batch", (path, begun))
    (ended,) = [event for event in pool.run([job]) if isinstance(event, Ended)]
    if ended.crash:
        raise RuntimeError(ended.crash)
    return ended.result + Spent(time.process_time() - own)


def first_batch(emit: Emit, path: Path, begun: float) -> Spent:
    """In the worker: what a run does before its first step."""
    cpu = time.process_time()
    prepared = load(path)
    model = make_model(BackboneSpec(NETWORK, "random"), 10, SIZE, Places(Path("."), Path(".")))
    torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batch: ImageSet = prepared.pool.subset(torch.arange(32))
    batch.x.float().div_(255)
    return Spent(time.process_time() - cpu, time.time() - begun)
