"""How a backbone is pretrained on its source dataset, checked while a study is planned. Torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.core.errors import UserError, nearest
from bench.core.spec import BackboneSpec, TrainSpec
from bench.planning import compose

RECIPE = {
    "epochs": 6,
    "batch_size": 64,
    "optimizer": "adamw",
    "lr": 1e-2,
    "weight_decay": 0.02,
    "precision": "fp32",
}
"""Measured on the synthetic datasets: 6 epochs reach about .95 on its 40 source classes. `source_train` overrides."""


def recipe_of(spec: BackboneSpec) -> dict[str, Any]:
    """With the changes that the study asks for. Raises `UserError` for an unknown setting."""
    known = {*RECIPE, *TrainSpec.__dataclass_fields__} - {"val_share", "evaluate", "image_size"}
    for key in spec.source_train:
        if key not in known:
            raise UserError(f"source_train of {spec.label}: unknown setting {key!r}{nearest(key, known)}")
    return {**RECIPE, **spec.source_train}


def settings(spec: BackboneSpec, recipe: dict[str, Any]) -> tuple[compose.Composed, TrainSpec]:
    """The recipe as a strategy and training settings. Raises `UserError` for values that a study could not have either."""
    rest = dict(recipe)
    hyperparameters = {"scratch": {"lr": rest.pop("lr")}, "weight_decay": {"decay": rest.pop("weight_decay")}}
    try:
        train = TypeAdapter(TrainSpec).validate_python(rest)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"source_train of {spec.label}: {first['loc'][0]}: {first['msg']}") from None
    return compose.build(compose.parse("scratch + weight_decay", hyperparameters)), train
