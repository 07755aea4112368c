"""Where and how a study's runs are logged: plain data that travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tracking:
    uri: str
    experiment_id: str
    system_metrics: bool
    checkpoints: Literal["none", "best", "all"]
