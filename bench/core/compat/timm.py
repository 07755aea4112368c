"""What is used of timm beyond its documented interface. timm is imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from bench.core.compat import VersionRange

TESTED = VersionRange("timm", "1.0", "1.0")


def group_with_matcher(tensors: Iterator[tuple[str, Tensor]], matcher: Any) -> Mapping[Any, list[str]]:
    """Names of tensors by the group that a network's `group_matcher` puts them in.

    timm's documented functions group parameters only; buffers need a place too.
    """
    from timm.models import _manipulate

    groups: Mapping[Any, list[str]] = _manipulate.group_with_matcher(tensors, matcher)
    return groups


def torch_datasets() -> set[str]:
    """Names that `timm.data.create_dataset` knows behind "torch/", in lower case: it lists them nowhere else."""
    from timm.data import dataset_factory

    return set(getattr(dataset_factory, "_TORCH_BASIC_DS", {}))
