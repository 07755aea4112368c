"""Assembles the report: markdown from the template, figures, and one HTML file that needs nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2

from bench.core.schema import Metric, Tag
from bench.tracking.store import redacted
from reports import networks_text, tables, tables_verdict, text, tuning_text, words
from reports.advice_text import section as advice_section
from reports.analysis import Analysis
from reports.bootstrap import FEWEST_DATASETS, FEWEST_SEEDS, resampled
from reports.figure_data import MOST
from reports.html import to_html
from reports.ranks import MOST as MOST_RANKED
from reports.records import Study, read
from reports.unchanged import section as unchanged_section
from reports.verdict import scratch_label

TEMPLATES = Path(__file__).parent / "templates"


def write(name: str, store: str | None, out: Path) -> Path:
    """Write the report of study `name` into `out/name` and return that folder."""
    return write_study(read(name, store), name, out)


def write_study(study: Study, name: str, out: Path) -> Path:
    """The same from a study at hand. Files of an earlier report are replaced."""
    folder = Path(out) / file_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    found = Analysis(study, name)
    from reports.figures import draw  # the slow import: matplotlib and seaborn

    markdown = render(found, draw(found, folder / "figures"))
    (folder / "report.md").write_text(markdown)
    (folder / "report.html").write_text(to_html(markdown, title=f"{name}: report", folder=folder))
    return folder


def render(found: Analysis, figures: dict[str, Path]) -> str:
    """The report as markdown. `figures`: files by name; those that are absent are not mentioned."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "escape_md": text.escape,
        "code": text.code,
        "points": text.points,
        "percent": text.percent,
        "listed": text.listed,
        "cell_title": words.cell_title,
    }
    template = environment.get_template("report.md.j2")
    return _squeeze(template.render(**_context(found, figures)))


def _context(found: Analysis, figures: dict[str, Path]) -> dict[str, Any]:
    document, rows, cells = found.document, found.rows, found.cells
    margin = document["matrix"]["margin"]
    any_result = any(cell.n_units for cell in cells)
    return {
        "name": found.name,
        "store": redacted(str(document["store"])),
        "study": document,
        "margin": margin,
        "cells": cells,
        "any_result": any_result,
        "figures": {key: f"figures/{path.name}" for key, path in figures.items()},
        "progress": words.progress(found.study.rows),
        "micro_batched": words.micro_batched(rows),
        "answer": words.answer(cells),
        "sentences": [words.sentence(cell, margin) for cell in cells if any_result],
        "summary": ", ".join(f"{words.cell_title(cell.name)} {cell.verdict}" for cell in cells),
        "scope": words.caption_scope(cells),
        "selection": words.selection(document),
        "verdicts": tables_verdict.verdicts(cells, margin),
        "differences": tables_verdict.differences(cells),
        "resampled": tables_verdict.resampled([line for cell in cells for line in resampled(rows, cell)]),
        "fewest_seeds": FEWEST_SEEDS,
        "fewest_datasets": FEWEST_DATASETS,
        "strategies": tables.strategies(cells),
        "tuning": _tuning(found),
        "ranking": tables.ranking(found.ranking, [cell.name for cell in cells]),
        **_ranks(found),
        "conditions": tables.conditions(rows),
        "sweep": found.sweep,
        "networks": _networks(found),
        "costs": tables.costs(rows),
        "vectorized_runs": any(row[Metric.VECTORIZED_RUNS] for row in rows),
        "without_result": tables.without_result(found.study.rows),
        "scratch": scratch_label(document),
        "negative": [words.negative_line(cell, worse) for cell in cells for worse in cell.negative],
        "environment": environment_of(found.study),
        "hyperparameters": tables.hyperparameters(document["strategies"]),
        "settings": words.settings(document),
        "remarks": [
            (named["label"], note)
            for named in [*document["datasets"], *document["backbones"]]
            for note in named.get("notes") or []
            if note not in (named.get("data_text") or [])
        ],
        "on_cpu": found.on_cpu,
        "has_memory": any(row[Metric.PEAK_MEMORY] is not None for row in rows),
        "advice": advice_section(document, rows),
        "unchanged": unchanged_section(rows),
        "max_listed": tables.MAX_LISTED,
        "most_drawn": MOST,
        "transfer": found.transfer,
    }


def _tuning(found: Analysis) -> dict[str, str] | None:
    """None where the study does not tune."""
    if not found.tune:
        return None
    return {
        "protocol": tuning_text.protocol(found.tune),
        "changes": tuning_text.changes(found.before, found.cells),
        "side_by_side": tuning_text.side_by_side(found.before, found.cells) if found.before else "",
        "gains": tuning_text.gains_table(found.gains),
        "searches": tuning_text.searches_table(found.searches),
        "importances": tuning_text.importances_table(found.searches),
    }


def _networks(found: Analysis) -> dict[str, Any] | None:
    """None where the study has one network, or too few results on several."""
    networks = found.networks
    if networks is None:
        return None
    return {
        "answer": networks_text.answer(networks),
        "against": networks_text.against(networks),
        "agreement": networks_text.agreement(networks),
        "carried": networks_text.carried(networks),
    }


def _ranks(found: Analysis) -> dict[str, Any]:
    ranks = found.ranks
    shown = (
        {}
        if isinstance(ranks, str)
        else {"ranks_p": text.p_phrase(ranks.p), "ranks_table": tables_verdict.ranks(ranks)}
    )
    return {"ranks": ranks, "n_strategies": len(found.strategies), "most_ranked": MOST_RANKED, **shown}


def file_name(name: str) -> str:
    """`name` as one folder's name: a study called "a/b" or ".." stays below `out`."""
    return re.sub(r"[^\w.\- ]", "-", name).lstrip(".") or "study"


def environment_of(study: Study) -> list[tuple[str, list[tuple[str, int]]]]:
    """Devices, number formats, package versions and commits of the runs, each with the number of runs."""
    kinds = [
        ("device", Tag.DEVICE),
        ("precision", Tag.PRECISION),
        ("versions", Tag.VERSIONS),
        ("commit", Tag.GIT_COMMIT),
    ]
    counts = [
        (name, Counter(_plain(run["tags"][tag]) for run in study.runs if run["tags"].get(tag)))
        for name, tag in kinds
    ]
    return [(name, found.most_common()) for name, found in counts if found]


def _plain(tag: str) -> str:
    """A tag that holds a JSON object as `torch 2.13.0, timm 1.0.31`."""
    try:
        content = json.loads(tag)
    except ValueError:
        return tag
    return ", ".join(f"{key} {value}" for key, value in content.items()) if isinstance(content, dict) else tag


def _squeeze(markdown: str) -> str:
    """At most one empty line in a row: what a template's conditions leave behind."""
    lines: list[str] = []
    for line in markdown.splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"
