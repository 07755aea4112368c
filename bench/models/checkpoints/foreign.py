"""What training scripts and model hubs write of a network's preprocessing, in the terms of a study. Torch-free.

Values that make no sense, or could mean several things, are left out rather than guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")

RESAMPLE = dict(enumerate(("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")))
"""Pillow's numbers of them, as Hugging Face writes them."""

MEANS = ("mean", "image_mean", "img_mean", "norm_mean")
STDS = ("std", "image_std", "img_std", "norm_std")
SIZES = ("img_size", "image_size", "input_size")
NAMES = ("architecture", "arch", "model", "model_name")
KWARGS = ("model_args", "model_kwargs")
CONFIGURATIONS = ("pretrained_cfg", "default_cfg", "data_config")
"""Of a network's images and weights, as timm names them (the second until 0.8) and as a study does."""

NOT_KWARGS = {
    *("num_classes", "img_size", "in_chans", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"),
    *("checkpoint_path", "features_only", "cache_dir", "drop_rate", "drop_path_rate", "drop_block_rate"),
}
"""Of a network's arguments: what a study or its dataset decides, and what regularised the earlier training alone."""

Found = tuple[dict[str, Any], dict[str, Any], str]
"""data_config, kwargs, architecture; empty where nothing is said."""


def settings(config: Mapping[str, Any]) -> Found:
    """Training arguments, as timm's train.py has them (`gp`: pooling), or a configuration of timm's, nested or flat."""
    inner = _first(config, CONFIGURATIONS)
    data = {**config, **inner} if isinstance(inner, Mapping) else config
    found = statistics(_first(data, MEANS), _first(data, STDS))
    if (size := _size(_first(data, SIZES))) is not None:
        found["image_size"] = size
    if share := _share(data.get("crop_pct")):
        found["crop_pct"] = share
    if data.get("interpolation") in INTERPOLATIONS:
        found["interpolation"] = data["interpolation"]
    pooling = {"global_pool": config["gp"]} if isinstance(config.get("gp"), str) and config["gp"] else {}
    return found, {**pooling, **kwargs(_first(config, KWARGS))}, _name(config)


def hugging_face(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `preprocessor_config.json`. Empty where pixels are not scaled to 0..1, or images are not square."""
    factor = config.get("rescale_factor", 1 / 255)
    if config.get("do_rescale", True) is not True or not _is_number(factor) or abs(factor * 255 - 1) > 0.01:
        return {}
    found = statistics(config.get("image_mean"), config.get("image_std"))
    if config.get("do_normalize", True) is False:
        found = {"mean": [0.0] * 3, "std": [1.0] * 3}
    if not found:
        return {}
    if config.get("resample") in RESAMPLE:
        found["interpolation"] = RESAMPLE[config["resample"]]
    resized, cropped = _size(config.get("size")), _size(config.get("crop_size"))
    if cropped and resized and cropped <= resized and config.get("do_center_crop", True):
        found |= {"image_size": cropped, "crop_pct": cropped / resized}
    elif resized:
        found |= {"image_size": resized, "crop_pct": _share(config.get("crop_pct")) or 1.0}
    return found


def statistics(mean: Any, std: Any) -> dict[str, Any]:
    """mean and std of pixels in 0..1, three of each, or nothing. What can only be meant for 0..255 is divided by 255."""
    means, stds = _triple(mean), _triple(std)
    if means is None or stds is None or min(stds) <= 0:
        return {}
    if min(means) > 1 and min(stds) > 1:
        means, stds = [m / 255 for m in means], [s / 255 for s in stds]
    return {"mean": means, "std": stds} if max(map(abs, means)) <= 1 else {}


def kwargs(value: Any) -> dict[str, Any]:
    """The arguments of `timm.create_model` that the weights need, as far as they are plain data."""
    if not isinstance(value, Mapping):
        return {}
    return {
        key: list(v) if isinstance(v, tuple) else v
        for key, v in value.items()
        if isinstance(key, str) and key not in NOT_KWARGS and v is not None and _plain(v)
    }


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _name(config: Mapping[str, Any]) -> str:
    return next((config[key] for key in NAMES if isinstance(config.get(key), str)), "")


def _triple(value: Any) -> list[float] | None:
    if not isinstance(value, list | tuple) or len(value) not in (1, 3) or not all(map(_is_number, value)):
        return None
    return [float(v) for v in value] * (3 // len(value))


def _size(value: Any) -> int | None:
    """Pixels of a square image: a number, [C, H, W], [H, W], or Hugging Face's mapping."""
    if isinstance(value, Mapping):
        value = value.get("shortest_edge") or [value.get("height"), value.get("width")]
    if isinstance(value, list | tuple):
        sides = set(value[-2:])
        value = sides.pop() if len(value) in (1, 2, 3) and len(sides) == 1 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _share(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 < value <= 1 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, str | bool) or _is_number(value)
