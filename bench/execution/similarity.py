"""The similarity of all targets of a study, and a table of it. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, all_of
from bench.core.records.measures import MeasuresRecord
from bench.core.schema import MEASURES

if TYPE_CHECKING:
    from bench.core.jobs import Executor
    from bench.execution.display import Display
    from bench.planning.plan import Plan


Entries = list[tuple[str, MeasuresRecord]]
"""One per dataset, whose label comes first, backbone and size."""


def measure_study(plan: Plan, executor: Executor, display: Display) -> Entries:
    """The measures of each dataset on each backbone at each size.

    Sources are pretrained and images decoded first where no earlier call has. What crashes on one backbone or dataset is
    missing there, with the reason. Raises `UserError` for bad input.
    """
    from bench.core.jobs import Ended
    from bench.execution import preparation
    from bench.execution.pending_measures import Measures
    from bench.storage.places import Places

    places = Places(plan.base.absolute(), plan.cache)
    failures = preparation.make_data(plan, places, executor, display)
    measures = Measures.of(plan, places)
    jobs, wrong = measures.jobs(failures), []
    if jobs:
        with display.progress("measuring transferability", len(jobs)):
            for event in executor.run(jobs):
                display.event(event)
                if isinstance(event, Ended):
                    measures.take_in(event)
                    wrong += [event.user_error] if event.user_error else []
    if wrong:
        raise UserError(all_of(wrong))
    return measures.entries()


def tables(entries: Entries) -> Iterator[tuple[str, list[dict[str, Any]], list[str]]]:
    """For each dataset on each backbone: a title, a row per measure with a column per size, and what is missing, why."""
    groups: dict[str, list[MeasuresRecord]] = {}
    for dataset, entry in entries:
        groups.setdefault(f"{dataset} on {entry.backbone}", []).append(entry)
    for title, group in groups.items():
        names = [name for name in MEASURES if any(name in entry.values for entry in group)]
        rows = [_row("images measured", group, [entry.images for entry in group])]
        rows += [_row(MEASURES[name], group, [entry.values.get(name) for entry in group]) for name in names]
        yield title, rows, _missing(group)


def _row(title: str, group: list[MeasuresRecord], values: list[Any]) -> dict[str, Any]:
    sizes = [str(entry.n_per_class) for entry in group]
    return {"images per class": title, **dict(zip(sizes, values, strict=True))}


def _missing(group: list[MeasuresRecord]) -> list[str]:
    """A line per reason: which measures are not there, at which sizes, and why."""
    names: dict[tuple[str, int], list[str]] = {}
    for entry in group:
        for name, why in entry.missing.items():
            names.setdefault((why, entry.n_per_class), []).append(MEASURES[name])
    sizes: dict[tuple[str, str], list[str]] = {}
    for (why, n), missing in names.items():
        sizes.setdefault(("; ".join(missing), why), []).append(str(n))
    return [f"at {', '.join(at)} no {missing}: {why}" for (missing, why), at in sizes.items()]
