"""How the measures follow the synthetic datasets' similarity setting: `python tests/benchmarks/similarity_setting.py [N]`.

synthetic/blend at s = 1, .75, .5, .25, 0, N labelled images per class (default 200), on test_resnet at 32 px, pretrained on
synthetic/source (once: about a minute; kept in BENCH_CACHE), and for Fréchet distances also with random weights. Prints the
table of docs/similarity.md: means over three draws of the world's classes with their standard deviation, and in how
many of the draws a measure is monotone in s. About a minute of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from bench.core.schema import MEASURES, Measure
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.similarity.features import Features, extract, sample
from bench.similarity.frechet import IMAGES, standardised
from bench.similarity.measure import measure_dataset
from bench.storage.places import Places, cache_dir
from bench.training.run.ingredients import make_model, prepare_dataset

KNOB = (1.0, 0.75, 0.5, 0.25, 0.0)
DRAWS = (0, 1, 2)
SIZE = 32
SOURCE = DatasetSpec("synthetic/source")
PRETRAINED = BackboneSpec("test_resnet", "source", source=SOURCE)
RANDOM = BackboneSpec("test_resnet", "random")
PLACES = Places(Path(), cache_dir())

Found = dict[float, list[dict[str, float]]]  # by s, for each draw: the measures by name


def blend(similarity: float, draw: int, n: int) -> DatasetSpec:
    return DatasetSpec(
        "synthetic/blend", {"similarity": similarity, "draw": draw, "pool_per_class": max(n, 200)}
    )


def pretrained(n: int) -> Found:
    """All measures on the network that was pretrained on the source."""
    return {
        s: [
            measure_dataset(blend(s, draw, n), {n: n}, PRETRAINED, 0, SIZE, PLACES)[0].values
            for draw in DRAWS
        ]
        for s in KNOB
    }


def untrained(n: int) -> Found:
    """The Fréchet distances on a network with random weights."""
    torch.manual_seed(0)
    model = make_model(RANDOM, 2, SIZE, PLACES)

    def features(dataset: DatasetSpec) -> Features:
        return extract(model, sample(prepare_dataset(dataset, RANDOM, SIZE, PLACES).pool, IMAGES))

    source = features(SOURCE)
    found: Found = {s: [] for s in KNOB}
    for s, draw in ((s, draw) for s in KNOB for draw in DRAWS):
        target = features(blend(s, draw, n))
        stem, top = standardised(source.stem, target.stem), standardised(source.top, target.top)
        found[s].append({Measure.FRECHET_STEM: stem, Measure.FRECHET_TOP: top})
    return found


def row(name: str, title: str, found: Found) -> str:
    """One line of the table."""
    values = np.array([[one[name] for one in found[s]] for s in KNOB])  # [hyperparameter, draws]
    steps = np.diff(values, axis=0)
    monotone = ((steps > 0).all(0) | (steps < 0).all(0)).sum()
    spread = values.std(1, ddof=1)
    cells = [f"{m:.3g} ± {d:.1g}" for m, d in zip(values.mean(1), spread, strict=True)]
    return f"| {title} | {' | '.join(cells)} | {monotone} of {len(DRAWS)} |"


def main(n: str = "200") -> None:
    torch.set_num_threads(1)
    trained, random = pretrained(int(n)), untrained(int(n))
    print(f"| measure | {' | '.join(f's = {s:g}' for s in KNOB)} | monotone in |")
    print(f"| :-- |{' --: |' * len(KNOB)} --: |")
    for name, title in MEASURES.items():
        print(row(name, title, trained))
    for name in random[1.0][0]:
        print(row(name, f"{MEASURES[name]}, random weights", random))


if __name__ == "__main__":
    main(*sys.argv[1:])
