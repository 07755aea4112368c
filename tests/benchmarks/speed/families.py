"""Small networks of 20 timm families, one epoch each at 64 px from random weights, against the tutorial loop."""

from __future__ import annotations

import sys
from dataclasses import replace

from tests.benchmarks.speed.images import folder
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.loops import tutorial
from tests.benchmarks.speed.measure import Figure, alternate, figure, over
from tests.benchmarks.speed.ours import faster, in_format

NETWORKS = [
    "resnet10t", "mobilenetv2_035", "mobilenetv4_conv_small_035", "efficientnet_lite0", "regnetx_002",
    "regnety_002", "convnext_atto", "deit_tiny_patch16_224", "ghostnet_050", "lcnet_050", "tinynet_e", "mnasnet_small",
    "mobileone_s0", "edgenext_xx_small", "mobilevit_xxs", "repvgg_a0", "efficientvit_b0", "starnet_s1",
    "fastvit_t8", "rexnetr_100",
]  # fmt: skip
GOAL = 0.97
IMAGES = 200


def families(settings: Settings) -> list[Figure]:
    return [_family(network, settings) for network in (NETWORKS[:2] if settings.quick else NETWORKS)]


def _family(network: str, settings: Settings) -> Figure:
    job = Job(folder(IMAGES), network, 64, epochs=1, lr=0.01, batch=32, pretrained=False)
    precision = faster(network, job.size, job.batch)
    runs = alternate(
        {
            "ours": lambda number: in_format(precision)(replace(job, seed=number)),
            "tutorial": lambda number: tutorial(replace(job, seed=number)),
        },
        settings.rounds(3),
    )
    ratios, wall = over([run.train for run in runs["tutorial"]], [run.train for run in runs["ours"]])
    found = figure(
        f"families: {network}",
        ratios,
        wall,
        goal=GOAL,
        more=f"{precision}, {IMAGES} images",
    )
    print(f"  {network} {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]", file=sys.stderr, flush=True)
    return found
