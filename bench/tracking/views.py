"""The views of a study's experiment that MLflow's UI offers under its button "Views".

A saved view is a tag of the experiment, mlflow.sharedViewState.<key>, as the UI writes it itself (MLflow 3.17): JSON
with a name and the compressed state of the page. MLflow does not document it; a version that does not know it shows its
ordinary page. `tests/browser` opens these views in the real UI.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.records.planned import PlannedRow
from bench.core.schema import CELLS, Metric, Purpose, Status, Tag
from bench.tracking.compat import SAVED_VIEW
from bench.tracking.plain import UNPLANNED

VIEW_TAG = SAVED_VIEW

_PLANNED = f'tags.{Tag.PURPOSE} = "{Purpose.FINAL}" and tags.{Tag.SETTING} != "{UNPLANNED}"'
COUNTED = f'tags."{Tag.STATUS}" = "{Status.FINISHED}" and {_PLANNED}'
"""Filter: the runs that the report counts."""

TUNED = f'{COUNTED} and tags.{Tag.SETTING} = "tuned"'
SEARCHES = f'tags.{Tag.PURPOSE} = "{Purpose.TUNING}"'
TRIALS = f'tags.{Tag.PURPOSE} = "{Purpose.TRIAL}"'
SEARCHES_AND_TRIALS = f'tags.{Tag.PURPOSE} != "{Purpose.FINAL}" and tags.{Tag.PURPOSE} != "{Purpose.STUDY}"'
TROUBLE = f'tags."{Tag.STATUS}" != "{Status.FINISHED}"'


def of_cell(cell: str) -> str:
    """Filter: the runs of one cell that the report counts."""
    return f'{COUNTED} and tags.{Tag.CELL} = "{cell}"'


def _tags(*keys: str) -> tuple[str, ...]:
    return tuple(f"tags.`{key}`" for key in keys)


def _metrics(*keys: str) -> tuple[str, ...]:
    return tuple(f"metrics.`{key}`" for key in keys)


FIRST_COLUMNS = {"attributes.`Run Name`": 450, "runDateAndNestInfo": 140, "duration": 80}
"""Columns that MLflow shows in any case, and their width in pixels: its own cuts names off after 20 letters."""

WIDTHS = {f"tags.`{Tag.CELL}`": 135, f"tags.`{Tag.STRATEGY}`": 190, f"tags.`{Tag.ERROR}`": 400}
WIDTH = 110

NEWEST = "attributes.start_time"


@dataclass(frozen=True)
class View:
    """A table of runs. `key`: its name in addresses; `order`: the column that it is sorted by, highest first.

    `group_by`: tags; each group is one row, with the means of its runs' metrics, and opens on a click.
    """

    key: str
    name: str
    question: str
    filter: str
    columns: tuple[str, ...]
    order: str = ""  # the latest first: only then does the UI nest trials
    group_by: tuple[str, ...] = ()

    def tag(self, rows: Iterable[PlannedRow], created: int) -> tuple[str, str]:
        """Key and value of the experiment's tag that puts the view into the UI.

        `rows`: the planned runs, from which groups get their names; `created`: milliseconds since 1970, the UI lists
        the latest first.
        """
        columns = {**FIRST_COLUMNS, **{key: WIDTHS.get(key, WIDTH) for key in self.columns}}
        state: dict[str, Any] = {
            "searchFilter": self.filter,
            "orderByKey": self.order or NEWEST,
            "orderByAsc": False,
            "selectedColumns": list(self.columns),
            "columnOrder": list(columns),
            "columnWidths": columns,
        }
        if self.group_by:
            keys = [{"mode": "tag", "groupByData": key} for key in self.group_by]
            state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": keys}
            state["groupsExpanded"] = dict.fromkeys(self._groups(rows), False)
            state["runsHiddenMode"] = "SHOW_ALL"  # in charts: groups are few, and MLflow would show ten
            state["compareRunCharts"], state["compareRunSections"] = _charts()
        view = {"name": self.name, "createdAt": created, "updatedAt": created, "state": _compressed(state)}
        return f"{VIEW_TAG}{self.key}", json.dumps(view)

    def _groups(self, rows: Iterable[PlannedRow]) -> set[str]:
        """The groups' ids, as MLflow's UI makes them."""
        return {",".join(f"tag.{key}.{getattr(row, key)}" for key in self.group_by) for row in rows}


def _compressed(state: dict[str, Any]) -> str:
    """As the UI does it: tags hold a few thousand characters, the names of many groups take more."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _charts() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A bar per group, and accuracy against cost; the UI adds a chart for each other metric, in sections below."""
    section = "study"
    kinds: list[dict[str, Any]] = [
        {"type": "BAR", "metricKey": Metric.TEST_ACCURACY},
        {
            "type": "SCATTER",
            "xaxis": {"key": Metric.TRAIN_SECONDS, "type": "METRIC"},
            "yaxis": {"key": Metric.TEST_ACCURACY, "type": "METRIC"},
        },
    ]
    common = {"runsCountToCompare": 100, "metricSectionId": section, "deleted": False, "isGenerated": False}
    charts = [{"uuid": f"{section}-{i}", **common, **kind} for i, kind in enumerate(kinds)]
    name = {"uuid": section, "name": "Accuracy and cost", "display": True, "isReordered": False}
    return charts, [name]


IDENTITY = _tags(Tag.CELL, Tag.SETTING, Tag.STRATEGY, Tag.DATASET, Tag.N_PER_CLASS, Tag.SEED)
SCORES = _metrics(Metric.TEST_ACCURACY, Metric.TEST_NLL, Metric.VAL_ACCURACY)
COSTS = _metrics(
    Metric.TRAIN_SECONDS,
    Metric.TOTAL_SECONDS,
    Metric.PEAK_MEMORY,
    Metric.PARAMS_TRAINABLE,
    Metric.FLOPS,
    Metric.ENERGY,
)
OF_SEARCHES = (
    *_metrics(Metric.DEFAULT_VAL_ACCURACY, Metric.TUNED_VAL_ACCURACY, Metric.VAL_ACCURACY),
    *_tags(Tag.STATUS, Tag.CELL, Tag.BUDGET),
    *_metrics(Metric.TRIALS_COMPLETE, Metric.TRIALS_PRUNED, Metric.TRIALS_FAILED, Metric.TUNING_SECONDS),
)

EVERYWHERE = (
    View(
        "results",
        "Results, run by run",
        "Which runs count, and how good are they?",
        COUNTED,
        (*SCORES, *_metrics(Metric.NCM_TEST_ACCURACY), *IDENTITY),
        SCORES[0],
    ),
    View(
        "tuned",
        "Tuned against default",
        "What does tuning change?",
        COUNTED,
        (*SCORES, *_metrics(Metric.TRAIN_SECONDS)),
        SCORES[0],
        (Tag.CELL, Tag.SETTING),
    ),
    View(
        "costs",
        "Costs",
        "What does a strategy cost in time, memory and energy?",
        COUNTED,
        (SCORES[0], *COSTS),
        COSTS[0],
        (Tag.STRATEGY, Tag.BACKBONE),
    ),
    View(
        "searches",
        "Searches and their trials",
        "What did each search choose, and what did it try?",
        SEARCHES_AND_TRIALS,
        OF_SEARCHES,
    ),
    View(
        "trouble",
        "Failed, diverged, pruned, killed",
        "What did not finish, and why?",
        TROUBLE,
        (*_tags(Tag.STATUS, Tag.ERROR, Tag.PURPOSE), *IDENTITY),
        f"tags.`{Tag.STATUS}`",
    ),
)


def all_views(rows: Sequence[PlannedRow]) -> list[View]:
    """The views of a study with these planned runs: one per cell, then those of all cells."""
    cells = [cell for cell in CELLS if any(row.cell == cell for row in rows)]
    return [_cell_view(cell) for cell in cells] + list(EVERYWHERE)


def _cell_view(cell: str) -> View:
    title = cell.replace("-", ", ")
    return View(
        f"cell-{cell}",
        f"{title}: strategies",
        f"{title}: which strategy leads, at default and at tuned hyperparameters?",
        of_cell(cell),
        (*SCORES, *_metrics(Metric.TRAIN_SECONDS, Metric.PEAK_MEMORY)),
        SCORES[0],
        (Tag.STRATEGY, Tag.SETTING),
    )
