"""The strategies table as data and as text, read from the classes themselves."""

from __future__ import annotations

import inspect
import sys
from dataclasses import asdict
from typing import Any

import strategies as table
from bench import compose
from bench.api import Part


def strategies(name: str | None = None) -> list[dict[str, Any]]:
    """name, family, summary, source, knobs of one part or of all. Raises `UserError` for an unknown name."""
    return [_entry(n, compose.part(n)) for n in ([name] if name else table.TABLE)]


def _entry(name: str, cls: type[Part]) -> dict[str, Any]:
    knobs = [
        {"name": k.name, "default": k.default, "range": asdict(k.range) if k.range else None}
        for k in cls.knobs()
    ]
    return {
        "name": name,
        "family": cls.family,
        "summary": cls.summary(),
        "source": cls.source,
        "knobs": knobs,
    }


def card(name: str) -> str:
    """Everything there is to say about one part."""
    cls = compose.part(name)
    entry = _entry(name, cls)
    text = inspect.getdoc(sys.modules[cls.__module__]) or ""
    knobs = [f"  {k['name']} = {k['default']}{_range(k['range'])}" for k in entry["knobs"]]
    lines = [
        f"{name} ({entry['family']})",
        "",
        entry["summary"],
        "",
        text,
        "",
        f"source: {entry['source'] or '-'}",
    ]
    return "\n".join([*lines, "knobs:", *(knobs or ["  none"])])


def _range(searched: dict[str, Any] | None) -> str:
    if searched is None:
        return "  (not searched)"
    if searched["choices"]:
        return f"  one of {', '.join(map(str, searched['choices']))}"
    return (
        f"  searched in {searched['low']} .. {searched['high']}{', logarithmic' if searched['log'] else ''}"
    )
