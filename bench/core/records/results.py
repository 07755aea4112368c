"""What a worker tells the driver of a run, or of a search, that is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.core.schema import Status


@dataclass(frozen=True)
class Result:
    """The end of a run or a search.

    Attributes:
        error: Why there are no results, in words; None where there are.
        metrics: End metrics of the run, or of the search.
        chosen: Of a search: "part.hyperparameter" -> value; None of a run, and of a search that goes on elsewhere.
    """

    status: Status
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, Any] | None = None
