"""Which arguments of timm's constructors a study may set. Torch-free: a plan refuses the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.errors import UserError

RESERVED = {
    "num_classes": "it comes from the dataset",
    "img_size": "set image_size",
    "in_chans": "images have three channels",
    "pretrained": "set weights",
    "checkpoint_path": "set checkpoint",
    "pretrained_cfg": "set weights or checkpoint, and data_config",
    "pretrained_cfg_overlay": "set weights or checkpoint, and data_config",
    "features_only": "a classifier is needed",
    "cache_dir": "set HF_HOME and TORCH_HOME",
    "device": "the executor places networks",
    "dtype": "set train.precision",
}


def check(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raises `UserError` for arguments that the harness sets itself, and for those that leave no logits [B, K]."""
    for key in kwargs:
        if key in RESERVED:
            raise UserError(f"backbone {name!r}: kwargs must not contain {key!r}: {RESERVED[key]}")
    if "global_pool" in kwargs and not kwargs["global_pool"]:
        raise UserError(
            f"backbone {name!r}: kwargs: global_pool is {kwargs['global_pool']!r}, but without pooling there are no "
            "logits per image: leave it out, or name a pooling such as 'avg'"
        )
