"""The strategies table as data and as text, read from the classes themselves."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import strategies as table
from bench import compose
from bench.api import Part

FAMILIES = {
    "freeze": "freezing schedule",
    "lr": "learning-rate policy",
    "schedule": "learning-rate schedule",
    "regularize": "regularisation",
    "teacher": "teachers and unlabelled data",
    "structure": "changes of structure",
}
"""The families in the order in which they are listed. `freeze` and methods that stand in its place come first."""


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
        "when": cls.when,
        "against": cls.against,
        "knobs": knobs,
        "cost": measured_cost(name),
    }


def measured_cost(name: str) -> dict[str, float] | None:
    """Costs as multiples of plain full fine-tuning's, as measured by `tests/benchmarks/strategy_costs.py`."""
    return _costs()["strategies"].get(name)


@lru_cache(maxsize=1)
def _costs() -> dict[str, Any]:
    path = Path(table.__file__).with_name("costs.json")
    return json.loads(path.read_text()) if path.exists() else {"strategies": {}, "measured": ""}


def card(name: str) -> str:
    """Everything there is to say about one part."""
    cls = compose.part(name)
    entry = _entry(name, cls)
    text = inspect.getdoc(sys.modules[cls.__module__]) or ""
    knobs = [f"  {k['name']} = {k['default']}{_range(k['range'])}" for k in entry["knobs"]]
    lines = [
        f"{name} ({FAMILIES[entry['family']]})",
        "",
        text,
        "",
        f"source   {entry['source'] or '-'}",
        f"when     {entry['when']}",
        f"against  {entry['against']}",
        f"cost     {cost_text(name)}",
    ]
    return "\n".join([*lines, "", "knobs:", *(knobs or ["  none"])])


def cost_text(name: str) -> str:
    """The measured cost in words."""
    cost = measured_cost(name)
    if cost is None:
        return "not measured"
    preparation = f" (of it {cost['preparation']:.2f} preparation)" if cost["preparation"] >= 0.005 else ""
    return (
        f"{cost['seconds']:.2f} x the time of plain full fine-tuning{preparation}, "
        f"{cost['trainable']:.3g} x its trained parameters"
    )


def _range(searched: dict[str, Any] | None) -> str:
    if searched is None:
        return "  (not searched)"
    if searched["choices"]:
        return f"  one of {', '.join(map(str, searched['choices']))}"
    return (
        f"  searched in {searched['low']} .. {searched['high']}{', logarithmic' if searched['log'] else ''}"
    )
