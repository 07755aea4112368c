"""What travels with weights that the harness writes: all that it takes to build their network and to feed it. Torch-free.

Written into the metadata of the safetensors file, each entry as text: `data_config` (mean, std, crop_pct, interpolation,
image_size), `architecture` and `kwargs` as `timm.create_model` took them, `classes` in the order of the outputs, the
`versions` it was made with, and what else its writer knows, as the run's identity and strategy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.core.spec import BackboneSpec

PACKAGES = ("finetune-bench", "torch", "timm")


def metadata(
    spec: BackboneSpec,
    data_config: Mapping[str, Any],
    num_classes: int,
    classes: Sequence[str] = (),
    **more: object,
) -> dict[str, str]:
    """data_config: as trained with. classes: names in the order of the outputs. more: text, or what becomes JSON."""
    found: dict[str, object] = {
        "architecture": spec.name,
        "kwargs": spec.kwargs,
        "data_config": dict(data_config),
        "num_classes": num_classes,
        **({"classes": list(classes)} if classes else {}),
        "versions": {name: _version(name) for name in PACKAGES},
        **more,
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
