"""Studies of 100 to 10,000 runs, for measuring growth. Imports nothing heavy: who imports it measures memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STUDY = "growth"
EPOCHS = 5
FREEZES = ["linear_probe", "last_stages", "full", "scratch", "full + head_x10"]
MORE = ["full + l2_sp", "full + head_x10 + l2_sp", "full + keep_norm_stats", "staged", "lp_ft"]
SIZES = [10, 80, 20, 60, 40]
DATASETS = [("synthetic/fine", "similar"), ("synthetic/glyph", "dissimilar")]
MORE_DATASETS = [("synthetic/similar", "similar"), ("sklearn/digits", "dissimilar")]


@dataclass(frozen=True)
class Shape:
    """Strategies x datasets x sizes x seeds: a larger study has more of each, not only more seeds."""

    strategies: int
    datasets: int
    sizes: int
    seeds: int

    @property
    def runs(self) -> int:
        return self.strategies * self.datasets * self.sizes * self.seeds


SHAPES = {
    100: Shape(5, 2, 2, 5),
    1000: Shape(10, 2, 5, 10),
    10_000: Shape(20, 4, 5, 25),
}


def study_file(folder: Path, runs: int) -> Path:
    """The study whose plan has so many runs (one of `SHAPES`)."""
    shape = SHAPES[runs]
    entries: list[Any] = [*FREEZES, *MORE]
    slow = [
        {"use": e, "label": f"{e}, slow", "hyperparameters": {e.split(" + ")[0]: {"lr": 0.0001}}}
        for e in entries
    ]
    study = {
        "name": STUDY,
        "datasets": [
            {"name": name, "similarity": similarity, "n_per_class": SIZES[: shape.sizes]}
            for name, similarity in [*DATASETS, *MORE_DATASETS][: shape.datasets]
        ],
        "backbones": [{"name": "test_resnet", "source": "synthetic/source"}],
        "strategies": [*entries, *slow][: shape.strategies],
        "seeds": shape.seeds,
        "train": {"image_size": 32, "precision": "fp32", "optimizer": "adamw", "epochs": EPOCHS},
        "matrix": {"small_at_most": 50},
        "system_metrics": False,
    }
    path = folder / f"{STUDY}-{runs}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path
