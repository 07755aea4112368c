"""The lines of the table: what each measures, and the function that does. Add one: a function here, by
name.

A line is measured by `measure(settings) -> figures`; the names of its figures begin with the line's, so
that a later run of that line replaces what an earlier one found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.benchmarks.speed.measure import Figure

ROOT = "tests.benchmarks.speed"


@dataclass(frozen=True)
class Settings:
    """quick: as little as shows that it works; its figures mean nothing."""

    quick: bool = False
    images: int = 2000

    def rounds(self, full: int) -> int:
        return 1 if self.quick else full


Measure = Callable[[Settings], list[Figure]]


@dataclass(frozen=True)
class Line:
    """summary: what is compared, for the table's reader. where: "module:function" in this package, or
    further up."""

    name: str
    summary: str
    where: str
    gpu: bool = False

    def measure(self, settings: Settings) -> list[Figure]:
        module, function = self.where.split(":")
        return getattr(import_module(f"{ROOT}.{module}"), function)(settings)


FRAMEWORKS = "against the tutorial loop, HF Trainer, Lightning, timm's loader and loop"

LINES = [
    Line(
        "mobilenetv3@64",
        f"full fine-tune of mobilenetv3_small_050 at 64 px, {FRAMEWORKS}",
        "finetune:mobilenet_64",
    ),
    Line("mobilenetv3@128", f"the same at 128 px, {FRAMEWORKS}", "finetune:mobilenet_128"),
    Line("resnet18@64", f"full fine-tune of resnet18 at 64 px, {FRAMEWORKS}", "finetune:resnet_64"),
    Line("resnet18@128", f"the same at 128 px, {FRAMEWORKS}", "finetune:resnet_128"),
    Line("vit_tiny@64", f"full fine-tune of vit_tiny_patch16_224 at 64 px, {FRAMEWORKS}", "finetune:vit_64"),
    Line("vit_tiny@128", f"the same at 128 px, {FRAMEWORKS}", "finetune:vit_128"),
    Line("families", "20 timm families at 64 px, against the tutorial loop", "families:families"),
    Line(
        "input",
        "images to batches without a network, against Pillow and torchvision per image",
        "pipeline:pipeline",
    ),
    Line(
        "freeze",
        "3 of resnet18's 4 stages frozen at 64 px, against the tutorial freezing as much",
        "freezing:per_epoch",
    ),
    Line(
        "probes resnet18",
        "8 linear probes of resnet18 at 64 px that differ in their rate, against the tutorial's one by one",
        "caching:probes_resnet",
    ),
    Line("probes mobilenetv3_small_050", "the same on mobilenetv3_small_050", "caching:probes_mobilenet"),
    Line("heads", "linear heads trained at once, against one after another", "caching:heads"),
    Line(
        "views",
        "resnet18 frozen up to its last stage, four runs on 5 fixed crops of each image, against new crops",
        "caching:views",
    ),
    Line(
        "regularisers", "a step with L2-SP, with DELTA, against a plain step, all ours", "regularisers:steps"
    ),
    Line("start", "start of a run in a running study, against a new process", "startup:start"),
    Line(
        "quickstart",
        "the quickstart's study on two cores, against a tutorial's script for each of its runs",
        "grid:quickstart",
    ),
    Line("growth", "seconds per image, and per cached view, as they grow 100-fold", "growth:tables"),
    Line("memory", "a data set's pages in two workers at once: shared, and private", "memory:shared"),
    Line(
        "gpu training",
        "resnet50 and vit_base at 224 px against a compiled synthetic step",
        "gpu:synthetic",
        gpu=True,
    ),
    Line("gpu small", "resnet18 at 64 px against timm's loader and loop", "gpu:small", gpu=True),
    Line("gpu memory", "peak memory of frozen strategies against full fine-tuning", "gpu:memory", gpu=True),
]
