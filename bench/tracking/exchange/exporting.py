"""From a store to one file: what of a study is over, and nothing that tells of the machine or the person."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.schema import Purpose, Status, Tag
from bench.tracking import store
from bench.tracking.exchange import file
from bench.tracking.exchange.compact import compact
from bench.tracking.exchange.file import Exported
from bench.tracking.predictions import has_predictions, read_all
from bench.tracking.store import outcome

PRIVATE = {Tag.HOST, Tag.PID, Tag.ATTEMPT, "mlflow.user", "mlflow.note.content", "mlflow.runName"}
"""Tags of the machine, of its user, and what MLflow or an import writes anew."""


def collect(uri: str, name: str, predictions: bool = False) -> Exported:
    """What a store holds of a study that counts: results, finished searches with their trials, and its ledger.

    Args:
        predictions: Take along what each run said of each test image.

    Raises:
        UserError: The store holds no such study, or a file of predictions is gone.
    """
    runs = store.read_runs(uri, name)
    study = store.read_study(uri, name, runs)
    study = replace(study, store="", command=public_command(study.command))
    kept = list(_counting(runs))
    files = _predictions(uri, kept) if predictions else {}
    return Exported(study, [_public(run) for run in kept], files)


def export(
    uri: str, name: str, path: Path, predictions: bool = False, results_alone: bool = False
) -> Exported:
    """Write a study's file. -> what it holds"""
    found = collect(uri, name, predictions)
    found = compact(found) if results_alone else found
    if not any(run.purpose == Purpose.FINAL for run in found.runs):
        raise UserError(f"study {name!r}: no run of it has finished, there is nothing to export")
    file.write(path, found)
    return found


def public_command(command: str) -> str:
    """The call of `bench` without the store, and without the folders of absolute paths."""
    told, words = [], iter(shlex.split(command))
    for word in words:
        if word == "--store":
            next(words, None)
        elif not word.startswith("--store="):
            told.append(Path(word).name if word.startswith("/") else word)
    return shlex.join(told)


def _counting(runs: list[RunRecord]) -> Iterable[RunRecord]:
    """The study run, and of several runs under one identity the one that counts.

    In the order of their identities: the store's own order is that of their starts, where two runs may be equal.
    """
    searches = outcome.searches(runs)
    parents = {run.mlflow_run_id: identity for identity, run in searches.items()}
    yield from (run for run in runs if run.purpose == Purpose.STUDY)
    yield from (searches[identity] for identity in sorted(searches))
    trials = [run for run in runs if run.purpose == Purpose.TRIAL and _is_over(run)]
    mine = [run for run in trials if run.tags.get(Tag.PARENT) in parents]
    yield from sorted(mine, key=lambda run: (parents[run.tags[Tag.PARENT]], int(run.tags.get(Tag.TRIAL, 0))))
    finals = outcome.finals(runs)
    yield from (finals[identity] for identity in sorted(finals) if finals[identity].has_result)


def _is_over(run: RunRecord) -> bool:
    return run.status in (Status.FINISHED, Status.DIVERGED, Status.PRUNED)


def _public(run: RunRecord) -> RunRecord:
    return replace(run, artifact_uri="", tags={k: v for k, v in run.tags.items() if k not in PRIVATE})


def _predictions(uri: str, runs: list[RunRecord]) -> dict[str, bytes]:
    with_them = [run for run in runs if run.purpose == Purpose.FINAL and has_predictions(run)]
    found = {}
    for run, content in zip(with_them, read_all(uri, with_them), strict=True):
        if isinstance(content, UserError):
            raise content
        if content is not None:
            found[run.mlflow_run_id] = content.to_bytes()
    return found
