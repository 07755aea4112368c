"""How to reproduce the report: the command, the store, devices and versions."""

from __future__ import annotations

from bench.tracking.store import redacted
from reports.analysis.environment import environment
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Heading, Items, Verbatim
from reports.render.text import code, escape


def section(study: Analysis) -> list[Block]:
    document = study.document
    commit = f", commit {code(document.git_commit)}" if document.git_commit else ""
    return [
        Heading("Reproduce"),
        Verbatim(" ".join(document.command.splitlines())),
        Items([f"Store: {code(redacted(document.store))}{commit}", *_environment(study)]),
    ]


def _environment(study: Analysis) -> list[str]:
    return [
        f"{kind}: {'; '.join(f'{escape(value)} ({n} runs)' for value, n in found)}"
        for kind, found in environment(study.study)
    ]
