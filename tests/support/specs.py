"""A run that takes a second."""

from __future__ import annotations

from bench.core.spec import BackboneSpec, DatasetSpec, PartSpec, RunSpec, StrategySpec, TrainSpec

SPEC = RunSpec(
    DatasetSpec("synthetic/fine", {"pool_per_class": 12}),
    5,
    BackboneSpec("test_resnet", "random", label="x"),
    StrategySpec(PartSpec("full", {"lr": 0.001}), (PartSpec("uniform", {}),)),
    3,
    TrainSpec(epochs=2, batch_size=16, image_size=32),
)
