"""Which timm models exist, without importing timm: planning a study must stay fast."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, nearest
from bench.models import unusable

REGISTERED = re.compile(r"^@register_model\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)", re.MULTILINE)


def exists(name: str) -> bool:
    """Whether timm can build `name` ("resnet18", or with a pretrained tag "resnet18.a1_in1k").

    Only the architecture is checked, a tag's existence when the model is built. Known names are found in
    timm's source within tens of milliseconds; timm itself (seconds) is asked only about names that are not
    there, such as deprecated ones.
    """
    architecture = name.partition(".")[0]
    if not architecture.isidentifier():
        return False
    return architecture in _registered_in_source() or _known_to_timm(architecture)


def is_registered(architecture: str) -> bool:
    """Whether timm's source names it: deprecated names do not count. timm is not imported."""
    return architecture in _registered_in_source()


def check(name: str) -> None:
    """Raises `UserError` with the nearest names where timm has no such model, and where it is known to be no classifier."""
    if not exists(name):
        hint = nearest(name.partition(".")[0], _registered_in_source())
        raise UserError(f"unknown timm model {name!r}{hint}")
    if why := unusable.reason(name):
        raise UserError(f"backbone {name!r} cannot be used: {why}")


def describe() -> list[dict[str, Any]]:
    """Every architecture: its `name`, a one-line `summary`, and whether timm has `pretrained` weights."""
    import timm

    names = timm.list_models()
    return [{"name": n, "summary": _summary(n), "pretrained": timm.is_model_pretrained(n)} for n in names]


def _summary(name: str) -> str:
    """Family and native size, say "resnet, 224 px": counting parameters would mean building the net."""
    import timm
    from timm.models import model_entrypoint

    family = model_entrypoint(name).__module__.rpartition(".")[2]
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    summary = f"{family}, {config.input_size[-1]} px" if config is not None else family
    why = unusable.reason(name)
    return f"{summary}; cannot be used: {why}" if why else summary


@cache
def _registered_in_source() -> frozenset[str]:
    """Names of the functions that timm's model files register, read as text."""
    return frozenset(name for path in _model_files() for name in REGISTERED.findall(path.read_text("utf-8")))


def _model_files() -> list[Path]:
    spec = importlib.util.find_spec("timm")  # locates a top-level package without running it
    folders = spec.submodule_search_locations if spec is not None else None
    return [path for folder in folders or [] for path in Path(folder, "models").glob("*.py")]


def _known_to_timm(architecture: str) -> bool:
    import timm

    return timm.is_model(architecture)
