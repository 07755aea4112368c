"""The results as a JSON file, a page of Markdown and a figure."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from bench.core import devices
from tests.benchmarks.speed.lines import LINES, Line
from tests.benchmarks.speed.measure import Figure

Record = dict[str, Any]
PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "lightning")
COMMAND = "make benchmark"


def merge(path: Path, line: str, figures: Sequence[Record], seconds: float) -> None:
    """Puts a line's figures in the place of what was known of it; those of other lines stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known[line] = {
        "figures": list(figures),
        "seconds": round(seconds),
        "date": str(date.today()),
        "machine": machine(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({k.name: known[k.name] for k in LINES if k.name in known}, indent=1) + "\n")


def machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    flags = Path("/proc/cpuinfo")
    words = flags.read_text().split() if flags.exists() else []
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in words]
    return f"{devices.processor().name} ({', '.join(extensions) or platform.machine()})"


def row(record: Mapping[str, Any]) -> str:
    """One line of text."""
    goal = _goal(record)
    parts = [
        f"{record['name']:42}",
        f"{_value(record):22}",
        f"{goal:>9} {_verdict(record):8}",
        _accuracies(record),
    ]
    return f"{'  '.join(parts)}  {record['more']}"


def _value(record: Mapping[str, Any]) -> str:
    if record["value"] is None:
        return "not measured"
    spread = f" [{record['low']:.2f}, {record['high']:.2f}]" if record["low"] is not None else ""
    unit = "" if record["unit"] == "x" else f" {record['unit']}"
    return f"{record['value']:.2f}{spread}{unit}"


def _goal(record: Mapping[str, Any]) -> str:
    return "" if record["goal"] is None else f"{'<=' if record['ceiling'] else '>='} {record['goal']:g}"


def _verdict(record: Mapping[str, Any]) -> str:
    fields = {k: v for k, v in record.items() if k in Figure.__dataclass_fields__}
    return {True: "met", False: "not met", None: ""}[Figure(**fields).met]


def _accuracies(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{side} {mean(values):.3f}" for side, values in record["accuracy"].items())


def write(path: Path) -> None:
    """`path` with .md in place of .json, and figures/ beside it. Ends with NAME-notes.md, which people write."""
    from tests.benchmarks.speed.picture import draw

    known = json.loads(path.read_text())
    picture = path.parent / "figures" / f"{path.stem}.png"
    picture.parent.mkdir(exist_ok=True)
    draw([record for line in known.values() for record in line["figures"]], picture)
    notes = path.with_name(f"{path.stem}-notes.md")
    more = "\n" + notes.read_text(encoding="utf-8") if notes.exists() else ""
    path.with_suffix(".md").write_text(_page(known, f"figures/{picture.name}") + more, encoding="utf-8")


HEAD = """# Speed
Ratios of processor time against what a user would pick instead: {command}, which prints this table, and writes it with
`python -m tests.benchmarks.speed --report`. One core, one thread; sides run in turn in one process on the same images,
batches, epochs, augmentation, optimiser, schedule and first weights. Median [lowest, highest] over rounds; above 1 ours
is faster, but where the goal is a ceiling. Accuracies are on 500 test images, means over rounds.

![Ratios by line]({picture})

| what | ratio | wall | goal | | accuracy | how |
|---|---|---|---|---|---|---|
"""


def _page(known: Mapping[str, Any], picture: str) -> str:
    rows = [text for line in LINES for text in _section(line, known.get(line.name))]
    head = HEAD.format(command=f"`{COMMAND}`", picture=picture)
    machines = sorted({f"{line['machine']}, {line['date']}" for line in known.values()})
    minutes = sum(line["seconds"] for line in known.values()) / 60
    return head + "\n".join(rows) + f"\n\nAll lines took {minutes:.0f} minutes. On: {'; '.join(machines)}.\n"


def _section(line: Line, found: Mapping[str, Any] | None) -> list[str]:
    title = f"| **{line.name}**: {line.summary} | | | | | | |"
    if not found or not found["figures"]:
        return [title, f"| {line.name} | not measured | | | | | {'no CUDA device' if line.gpu else ''} |"]
    return [title, *(_table_row(record) for record in found["figures"])]


def _table_row(record: Mapping[str, Any]) -> str:
    wall = "" if record["wall"] is None else f"{record['wall']:.2f}"
    cells = (
        record["name"],
        _value(record),
        wall,
        _goal(record),
        _verdict(record),
        _accuracies(record),
        record["more"],
    )
    return f"| {' | '.join(cells)} |"
