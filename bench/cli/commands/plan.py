"""`bench plan`: the runs of a study, and how long the rest takes."""

from __future__ import annotations

from typing import Any

from bench.cli import console
from bench.cli.options import Json, Only, Sets, Store, StudyFile, Workers, planned_study
from bench.cli.output import out, print_json
from bench.core import devices
from bench.core.secrets import redacted
from bench.execution import state
from bench.execution.part import Part
from bench.planning.backbones import remarks


def plan(
    study_file: StudyFile,
    as_json: Json = False,
    workers: Workers = None,
    only: Only = None,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Show the runs a study asks for, which are done, and how long the rest takes."""
    planned, uri = planned_study(study_file, sets, store)
    part = Part.parse(only or [])
    part.check(planned)
    now = state.read(planned, uri)
    count = max(devices.default_workers() if workers is None else workers, 1)
    if not as_json:
        console.show_plan(out, now, count, uri)
        if only:
            console.show_part(out, part.of(now), count)
        return
    done = {run.run_id for run in now.done}
    print_json(
        {
            "study": planned.study.name,
            "store": redacted(uri),
            "done": len(now.done),
            "missing": len(now.missing) + len(now.waiting),
            "searches": len(now.searches),
            "deleted_experiment": now.deleted,
            "estimated_seconds": now.remaining(count),
            "datasets": [
                {
                    "label": target.label,
                    "name": target.spec.name,
                    "classes": target.info.classes,
                    "images_per_class": target.info.pool_counts,
                    "test_images": target.info.test_count,
                    "notes": target.info.notes,
                }
                for target in planned.targets
            ],
            "left_out": planned.left_out,
            "remarks": {b.label: remarks(b, planned.base) for b in (*planned.backbones, *planned.teachers)},
            "precision": {label: choice and choice.dtype for label, choice in planned.precision.items()},
            "looks": _looks(now),
            "runs": [{**vars(run.row()), "done": run.run_id in done} for run in now.plan.runs],
        }
    )


def _looks(now: state.State) -> list[dict[str, Any]]:
    """Of a study that adds seeds until it is decided, where each cell stands: by looks that are in the ledger."""
    if now.race is None:
        return []
    return [
        {
            "cell": one.name,
            "seeds": [look.seeds for look in one.entered],
            "verdict": one.entered[-1].cell.verdict if one.entered else None,
            "next": None if now.race.out_of_time else one.due,
        }
        for one in now.race.looks
    ]
