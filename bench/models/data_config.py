"""How a backbone wants its images: size, normalisation, crop, interpolation. Builds no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, nearest
from bench.core.spec import BackboneSpec
from bench.models.checkpoints import preprocessing as brought
from bench.models.checkpoints.foreign import INTERPOLATIONS

KEYS = ("mean", "std", "crop_pct", "interpolation", "image_size")


@dataclass(frozen=True)
class DataConfig:
    """native_size: the size of the pretrained weights, which `image_size` may differ from."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str
    image_size: int
    native_size: int


def resolve(spec: BackboneSpec, image_size: int | None, checkpoint: Path | None) -> DataConfig:
    """`image_size`, then the study's overrides, then what the checkpoint says, then timm's own config.

    Raises `UserError` on an unknown key or a value that makes no sense.
    """
    timm_config = _of_timm(spec.name)
    size = {"image_size": image_size} if image_size is not None else {}
    stored = brought.read_data_config(checkpoint) if checkpoint is not None else {}
    for source, overrides in (
        (f"data_config of {spec.name}", spec.data_config),
        (f"checkpoint {checkpoint}: data_config", stored),
    ):
        _check(overrides, source)
    _check(size, "train")
    merged = {**timm_config, **stored, **spec.data_config, **size}
    return DataConfig(
        mean=tuple(map(float, merged["mean"])),
        std=tuple(map(float, merged["std"])),
        crop_pct=float(merged["crop_pct"]),
        interpolation=merged["interpolation"],
        image_size=merged["image_size"],
        native_size=timm_config["image_size"],
    )


def _of_timm(name: str) -> dict[str, Any]:
    import timm
    from timm.data import resolve_data_config

    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:  # the architecture exists, the tag does not
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise UserError(f"backbone {name!r}: {error}{nearest(name, tags)}") from error
    known = config.to_dict() if config is not None else {}
    resolved = resolve_data_config(pretrained_cfg=known, args={"chans": 3})
    return {key: resolved[key] for key in KEYS[:4]} | {"image_size": resolved["input_size"][-1]}


def _check(overrides: Mapping[str, Any], where: str) -> None:
    for key, value in overrides.items():
        if key not in KEYS:
            raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), KEYS)}")
        expected = _wrong(key, value)
        if expected:
            raise UserError(f"{where}: {key} is {value!r}, but must be {expected}")


def _wrong(key: str, value: Any) -> str | None:
    """What `value` should be, where it is not."""
    if key in ("mean", "std"):
        good = isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))
        positive = good and (key == "mean" or min(value) > 0)
        return None if positive else f"three {'positive ' * (key == 'std')}numbers (pixels are in 0..1)"
    if key == "crop_pct":
        return None if _is_number(value) and 0 < value <= 1 else "a number in (0, 1]"
    if key == "interpolation":
        return None if value in INTERPOLATIONS else f"one of {', '.join(INTERPOLATIONS)}"
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return None if good else "a positive number of pixels"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
