"""fp32 or bf16, where a study says `auto`: the choice for a backbone on this machine, kept in the cache. Torch-free.

One choice for all strategies on a backbone, so that comparisons stay fair. It is part of what a run is: planning reads
it here, `bench.training.precision_timing` makes it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from bench.core import devices
from bench.core.records.study import Choice as Choice
from bench.core.spec import BackboneSpec, TrainSpec, content_hash
from bench.storage.files import read_document, room_for, write_document
from bench.storage.places import used

VERSION = 3
"""Raise it when a measurement would come out differently than before."""

MARGIN = 1.1
"""bf16 must be so many times as fast: rounding is not worth less, and noise must not choose."""


@dataclass(frozen=True)
class Key:
    """What decides the choice. Not the threads of a worker: how many workers there are is no part of a run."""

    name: str
    kwargs: dict[str, Any]
    image_size: Any  # pixels; where the study names none, what decides the backbone's own
    batch_size: int
    device: str
    torch: str
    cpu_kernels: Literal["auto", "off"] = "auto"

    @classmethod
    def of(cls, backbone: BackboneSpec, train: TrainSpec) -> Key:
        """On the device that runs of this process would use."""
        own = [backbone.data_config.get("image_size"), backbone.content]
        size = train.image_size or own
        return cls(
            backbone.name,
            backbone.kwargs,
            size,
            train.batch_size,
            _device(),
            version("torch"),
            train.cpu_kernels,
        )

    def path(self, cache: Path) -> Path:
        content = asdict(self)
        if self.cpu_kernels == "auto":  # what was measured before one could say so is found
            del content["cpu_kernels"]
        return cache / "precision" / f"{content_hash([VERSION, content])}.json"


@dataclass(frozen=True)
class Timing:
    """Seconds of the fastest step of each format on so many images; `error`: why bf16 took none.

    No images: nothing could be timed at all.
    """

    fp32: float
    bf16: float | None
    images: int
    error: str = ""

    def choice(self) -> Choice:
        """bf16 where it is faster by the margin."""
        if not self.images:
            return Choice("fp32", f"timing bf16 failed here: {self.error}")
        if self.bf16 is None:
            return Choice("fp32", f"bf16 fails here: {self.error}")
        ratio = self.fp32 / self.bf16
        dtype: Literal["fp32", "bf16"] = "bf16" if ratio >= MARGIN else "fp32"
        return Choice(dtype, f"a step in bf16 is {ratio:.2f} x as fast here")


def choose(backbone: BackboneSpec, train: TrainSpec, cache: Path) -> Choice | None:
    """What was measured earlier, or goes without saying; None: to be measured when a study is prepared."""
    if devices.gpu_name() is None and devices.processor().bf16 is False:
        return Choice("fp32", "this processor has no bf16 arithmetic")
    timing = read(Key.of(backbone, train), cache)
    return timing.choice() if timing else None


def read(key: Key, cache: Path) -> Timing | None:
    """What was measured earlier, or None."""
    found = read_document(used(key.path(cache)))
    return Timing(**found["timing"]) if found else None


def write(key: Key, timing: Timing, path: Path, **beside: Any) -> None:
    """Keep a measurement at `key.path(cache)`, with what else is known of it for whoever looks."""
    with room_for("the measured precision", path.parent):
        write_document(used(path), {"timing": asdict(timing), "of": asdict(key), **beside})


def _device() -> str:
    return devices.gpu_name() or devices.processor().name
