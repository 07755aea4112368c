"""What a reader of a study's experiment in MLflow's UI is told, in the markdown that it shows above the runs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.records.study import StudyRecord
from bench.core.schema import ARTIFACT_REPORT, CELLS, Metric, Tag
from bench.tracking.plain import BOTH
from bench.tracking.server import artifact_page, runs_page
from bench.tracking.views import COUNTED, SEARCHES, TRIALS, TROUBLE, TUNED, View, of_cell

NOTE_TAG = "mlflow.note.content"


def experiment_note(study: StudyRecord, experiment_id: str, study_run: str, views: Sequence[View]) -> str:
    """The experiment's description: the question, the report, the views, and which filter answers what."""
    links = " · ".join(f"[{view.name}]({runs_page(experiment_id, view.key)})" for view in views)
    filters = "\n".join(f"| {question} | `{text}` | {more} |" for question, text, more in filters_of(study))
    return f"""\
{study.question}

**[The report]({_report(experiment_id, study_run)})**: verdicts, figures, statistics. An artifact of the run *study: \
{study.name}*.

**Views**, also under the button *Views*: {links}

| question | filter | then |
|---|---|---|
{filters}

Means are over datasets, sizes, backbones and seeds; narrow them by tags `{Tag.DATASET}`, `{Tag.N_PER_CLASS}`, \
`{Tag.BACKBONE}`. Where a search chose the defaults, a run has `{Tag.SETTING}` "{BOTH}".
"""


def filters_of(study: StudyRecord) -> list[tuple[str, str, str]]:
    """Question, filter, and what to do next, for the note and the page docs/mlflow.md."""
    present = {row.cell for row in study.plan}
    cell = next((cell for cell in reversed(CELLS) if cell in present), CELLS[0])
    found = [
        ("Which runs count?", COUNTED, "select some, *Compare*: what differs, in hyperparameters and results"),
        (
            "Who leads in one cell?",
            of_cell(cell),
            f"group by `{Tag.STRATEGY}` and `{Tag.SETTING}`; sort by `{Metric.TEST_ACCURACY}`",
        ),
        ("Which part of a strategy matters?", COUNTED, f"group by `{Tag.FREEZE}`, `{Tag.LR_POLICY}` or `{Tag.REGULARIZE}`"),
        ("What does it cost?", COUNTED, f"columns `{Metric.TRAIN_SECONDS}`, `{Metric.PEAK_MEMORY}`, `{Metric.FLOPS}`"),
        ("What did not finish?", TROUBLE, f"columns `{Tag.STATUS}`, `{Tag.ERROR}`"),
    ]  # fmt: skip
    tuning = [
        (
            "What does tuning change?",
            TUNED,
            f'against `"default"`; `"{BOTH}"` are runs where the search chose the defaults',
        ),
        ("What did the searches choose?", SEARCHES, "columns `chosen.*`, `importance/*`"),
        (
            "What did they try?",
            TRIALS,
            f"sort by `{Metric.VAL_ACCURACY}`; or the view, where + opens a search",
        ),
    ]
    return found + (tuning if study.tune else [])


def study_note(study: StudyRecord, experiment_id: str, study_run: str) -> str:
    """The description of the run that holds the study's document and report."""
    return f"{study.question}\n\n**[The report]({_report(experiment_id, study_run)})**\n"


def _report(experiment_id: str, study_run: str) -> str:
    return artifact_page(experiment_id, study_run, f"{ARTIFACT_REPORT}/report.html")
