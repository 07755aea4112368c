"""The `bench` command. Heavy imports happen inside the commands that need them: planning takes under two seconds."""

from __future__ import annotations

import csv
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.cli import console as view
from bench.core import devices
from bench.core.errors import UserError, one_line_each
from bench.core.secrets import redacted, refuse_unasked_server
from bench.execution import state
from bench.execution.executors.choose import Kind, Request, local_pool
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.planning.backbones import remarks
from bench.storage.files import disk_full
from bench.storage.places import cache_dir, store_uri
from bench.tracking import server
from bench.tracking.store import experiment_ids
from bench.tracking.store.usable import check_address

app = typer.Typer(
    help="Settle by measurement how to fine-tune an image classifier.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out, err = Console(), Console(stderr=True)

StudyFile = Annotated[Path, typer.Argument(help="the study, a YAML file", show_default=False)]
StudyName = Annotated[str, typer.Argument(help="the study's name (not its file)", show_default=False)]
Store = Annotated[
    str | None,
    typer.Option(
        help="MLflow tracking URI; default: the study's, MLFLOW_TRACKING_URI, or sqlite:///mlflow.db"
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a field, as in train.epochs=5; repeatable"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="processes that train; default: one per GPU, or per core. 0: in this process, for debugging",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="machine-readable output")]
OUT = Path("reports/out")
WIDEST = 1000
"""Columns of a table that is written to a file or a pipe: nothing is cut or wrapped there."""


def _uri(store: str | None) -> str:
    """The address of the store. Raises `UserError` for one that is none."""
    uri = store_uri(store)
    check_address("store", uri)
    return uri


def _plan(study_file: Path, sets: list[str] | None, store: str | None) -> tuple[planning.Plan, str]:
    study = loading.load(study_file, sets or [])
    if not store:
        refuse_unasked_server("store", study.store, "MLFLOW_TRACKING_URI")
    refuse_unasked_server("tune.storage", study.tune.storage if study.tune else None, "OPTUNA_STORAGE")
    return planning.make(study, study_file, cache_dir()), _uri(store or study.store)


@app.command()
def run(
    study_file: StudyFile,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="as `bench plan`")] = False,
    executor: Annotated[
        Kind,
        typer.Option(help="where runs execute: processes of this machine, a Ray cluster, or this process"),
    ] = Kind.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster, as auto or HOST:6379; default: a Ray of its own")
    ] = None,
    cpus: Annotated[int, typer.Option("--cpus-per-run", min=1, help="Ray: processors of each run")] = 1,
    gpus: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-run", min=0, help="Ray: .25 puts four runs on a GPU; default: 1 where there are any"
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="write the report at the end; later: `bench report`")
    ] = True,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Run what is missing of a study, then write its report. Stop with Ctrl-C; run again to go on."""
    wanted = Request(Kind.RAY if address else executor, workers, address, cpus, gpus)
    plan, uri = _plan(study_file, sets, store)
    view.show_plan(out, state.read(plan, uri), wanted.expected_workers, uri)
    if dry_run:
        return
    from bench.execution.driver import run_study

    summary = run_study(
        plan, uri, lambda: wanted.make(plan.cache, uri), view.ConsoleDisplay(out), OUT if report else None
    )
    if summary.counts:
        counts = ", ".join(f"{n} {status}" for status, n in sorted(summary.counts.items()))
        out.print(f"this call: {counts}", highlight=False)
    for failure in summary.failures:
        out.print(f"not run     {escape(failure)}", style="red", highlight=False, soft_wrap=True)
    if summary.report:
        out.print(
            f"report      {summary.report / 'report.md'} (and report.html)", highlight=False, soft_wrap=True
        )
        out.print(f"MLflow UI   bench ui{_store_option(uri)}", highlight=False, soft_wrap=True)
    raise typer.Exit(summary.exit_code)


def _store_option(uri: str) -> str:
    return "" if uri == store_uri() else f" --store {redacted(uri)}"


@app.command()
def plan(
    study_file: StudyFile,
    as_json: Json = False,
    workers: Workers = None,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Show the runs a study asks for, which are done, and how long the rest takes."""
    planned, uri = _plan(study_file, sets, store)
    now = state.read(planned, uri)
    count = max(devices.default_workers() if workers is None else workers, 1)
    if not as_json:
        view.show_plan(out, now, count, uri)
        return
    done = {run.run_id for run in now.done}
    _print_json(
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
            "runs": [{**vars(run.row()), "done": run.run_id in done} for run in now.plan.runs],
        }
    )


@app.command()
def report(
    name: StudyName,
    store: Store = None,
    to: Annotated[Path, typer.Option("--out", help="folder for reports")] = OUT,
) -> None:
    """Write NAME/report.md and report.html from the store; the study may be unfinished."""
    import reports

    folder = reports.write(name, _uri(store), to)
    out.print(f"{folder / 'report.md'} (and report.html)", highlight=False, soft_wrap=True)


@app.command()
def runs(
    name: StudyName,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated output")] = False,
    store: Store = None,
) -> None:
    """List the runs of a study, one row each: finished, failed, diverged, killed, running or missing."""
    import reports

    rows = reports.rows(name, _uri(store))
    if as_json:
        _print_json(rows)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_runs(rows)


@app.command()
def profile(
    study_file: StudyFile,
    run_id: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="the run of this id, or of the only one that begins so"),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="the first run of this one; default: of the baseline, as full"),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="also the N most expensive operators of torch")
    ] = 0,
    as_json: Json = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="as one of so many workers, which share the cores; default: as `bench run`. 0: in this process",
        ),
    ] = None,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Where the time of a run goes. Executes one run of the study, as a worker would, and logs nothing."""
    from bench import profiling

    planned, uri = _plan(study_file, sets, store)
    chosen = profiling.pick(state.read(planned, uri).plan, run_id, strategy)
    count = devices.default_workers() if workers is None else workers
    executor = local_pool(count, processes=1) if count else Request(Kind.INLINE).make(planned.cache, uri)
    try:
        found = profiling.of_run(planned, chosen, executor, view.ConsoleDisplay(err), top)
    finally:
        executor.close()
    if as_json:
        _print_json(found)
        return
    for line in profiling.title(found):
        out.print(escape(line), highlight=False, soft_wrap=True)
    _print_table(profiling.rows(found))
    for line in profiling.summary(found):
        out.print(escape(line), highlight=False, soft_wrap=True)
    if top:
        steps = f"operators of {found['operator_steps']} training steps and what lay between them"
        out.print(f"\n{steps}, on a second execution", highlight=False, soft_wrap=True)
        _print_table(profiling.operator_rows(found))


@app.command()
def similarity(study_file: StudyFile, as_json: Json = False, sets: Sets = None) -> None:
    """Measure how near a study's datasets are to its backbones, and how well their features would transfer."""
    from bench.execution import similarity as measuring

    plan, _ = _plan(study_file, sets, None)
    executor = local_pool(devices.default_workers())
    try:
        entries = measuring.measure_study(plan, executor, view.ConsoleDisplay(err))
    finally:
        executor.close()
    if as_json:
        _print_json([{"dataset": dataset, **asdict(entry)} for dataset, entry in entries])
        return
    for title, rows, missing in measuring.tables(entries):
        out.print(f"[bold]{escape(title)}[/]", highlight=False)
        _print_table(rows)
        out.print(escape("\n".join([*missing, ""])), style="yellow", highlight=False, soft_wrap=True)


@app.command()
def advise(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="your images, a folder per class", show_default=False),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="a timm model, with one of the next three")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="timm's own weights")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="a local .safetensors or .pth file")] = None,
    source: Annotated[
        str | None, typer.Option(help="a dataset to pretrain on here, as synthetic/source")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="more of the backbone, as in kwargs.pad_type=same, or of the images, as in "
            "datasets.0.options.skip_damaged=true",
        ),
    ] = None,
    n_per_class: Annotated[
        int | None, typer.Option(min=1, help="labelled images per class; default: all there are")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="similar or dissimilar to the source, where it cannot be measured")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, help="default: that of the evidence, or the backbone's own")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="first probe your images at several sizes, about a minute")
    ] = False,
    measures: Annotated[
        Path | None, typer.Option(help="output of `bench similarity --json`, for studies stored without")
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="instead: how good the advice is on the store's own datasets")
    ] = False,
    as_json: Json = False,
    store: Store = None,
) -> None:
    """Which strategy for a folder of images? From the nearest evidence in the store, beside the textbook's rule."""
    from bench.advice import advise as advising
    from reports import advice_text

    known = advising.gather(_uri(store), advising.read_measures(measures) if measures else [])
    if evaluate:
        trial = advising.evaluate(known, probe)
        _print_json(trial) if as_json else _print_trial(trial, advice_text.score_rows(trial))
        return
    if folder is None or backbone is None:
        raise UserError("bench advise needs a folder of images and --backbone NAME (or --evaluate)")
    if similarity not in (None, "similar", "dissimilar"):
        raise UserError(f"--similarity: expected similar or dissimilar (is {similarity!r})")
    origin = {"pretrained": pretrained, "checkpoint": checkpoint, "source": source}
    of_backbone, options = advising.divided(sets or [])
    spec = advising.backbone(
        {"name": backbone, **{k: v for k, v in origin.items() if v}}, of_backbone, Path.cwd()
    )
    similar = None if similarity is None else similarity == "similar"
    question = advising.Question(folder, spec, n_per_class or "all", similar, image_size, probe, options)
    found = advising.ask(question, known, Path.cwd(), cache_dir(), view.ConsoleDisplay(err).say)
    if as_json:
        _print_json(found)
        return
    for line in advice_text.lines(found):
        out.print(escape(line), highlight=False, soft_wrap=True)


def _print_trial(trial: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    _print_table(rows)
    sizes = f"{trial['conditions']} conditions of {trial['datasets']} datasets, each dataset advised on from the others"
    out.print(
        f"{sizes}; reference: {escape(trial['reference'])}",
        highlight=False,
        soft_wrap=True,
    )
    if trial["covered"]:
        inside, total = trial["covered"]
        out.print(f"accuracies within their expected 95 % range: {inside} of {total}", highlight=False)
    for note in trial["notes"]:
        out.print(escape(note), style="yellow", highlight=False, soft_wrap=True)


@app.command()
def strategies(
    name: Annotated[str | None, typer.Argument(help="one of them, in full")] = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option(help="all of them in full, as the page in docs/")] = False,
) -> None:
    """List what a study can compose; with a name, its method card."""
    from bench.planning import catalogue

    entries = catalogue.strategies(name)
    if as_json:
        _print_json(entries)
    elif markdown:
        print(catalogue.page(), end="")
    elif name:
        out.print(catalogue.card(name), highlight=False, markup=False, soft_wrap=True)
    else:
        _print_table([{k: e[k] for k in ("name", "family", "summary")} for e in entries])


@app.command()
def backbones(
    as_json: Json = False, match: Annotated[str, typer.Option(help="only names that contain this")] = ""
) -> None:
    """List the networks (every timm architecture)."""
    from bench.models import names

    entries = [e for e in names.describe() if match in e["name"]]
    _print_json(entries) if as_json else _print_table(entries)


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the kinds of datasets."""
    from bench.data import registry

    entries = registry.describe()
    _print_json(entries) if as_json else _print_table(
        [{"name": e["name"], "summary": e["summary"], "options": ", ".join(e["options"])} for e in entries]
    )


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from bench.planning.study import Study

    _print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()})


@app.command()
def ui(store: Store = None, port: Annotated[int, typer.Option(help="on 127.0.0.1")] = 5000) -> None:
    """Open the MLflow UI on the store; loopback only: SECURITY.md says how to let others in. Stop with Ctrl-C."""
    uri = _uri(store)
    is_server = uri.startswith(("http://", "https://"))
    address = redacted(uri.rstrip("/")) if is_server else f"http://127.0.0.1:{port}"
    out.print(
        f"The store is a server: open {address}"
        if is_server
        else f"{address} in about {server.START_SECONDS} s",
        highlight=False,
        soft_wrap=True,
    )
    for name, number in sorted(experiment_ids(uri).items()):
        if name != "Default":
            out.print(f"{name}  {address}/{server.runs_page(number)}", highlight=False, soft_wrap=True)
    if not is_server:
        command = server.command(port)
        os.execve(command[0], command, server.environment(uri))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


COLUMNS = {
    "run_id": "run_id",
    "status": "status",
    "dataset": "dataset",
    "n_per_class": "n",
    "backbone": "backbone",
    "strategy": "strategy",
    "setting": "setting",
    "seed": "seed",
    "val_accuracy": "val",
    "test_accuracy": "test",
    "ncm_test_accuracy": "before",
    "train_seconds": "train, s",
}
"""What `bench runs` shows, and how a narrow terminal can show it. before: the unchanged network, where that is stored."""


def _print_runs(rows: list[dict[str, Any]]) -> None:
    """What is the same in all rows is said once, above."""
    given = ("dataset", "n_per_class", "backbone", "strategy", "setting", "seed")
    same = [column for column in given if len({row[column] for row in rows}) == 1]
    for column in same:
        out.print(f"{column}: {escape(_cell(rows[0][column]))}", highlight=False, soft_wrap=True)
    unknown = [c for c in ("ncm_test_accuracy",) if all(row.get(c) is None for row in rows)]
    _print_table([{COLUMNS[c]: row.get(c) for c in COLUMNS if c not in [*same, *unknown]} for row in rows])


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else []:
        whole = column in ("name", "run_id", "policy") or any(
            isinstance(r[column], int | float) for r in rows
        )
        table.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    if not out.is_terminal:
        out.width = max(out.width, table.__rich_measure__(out, out.options.update(width=WIDEST)).maximum)
    out.print(table, highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Entry point: a `UserError` becomes a message and exit code 2."""
    try:
        app()
    except UserError as error:
        message = one_line_each(redacted(str(error)))
        err.print(
            Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True
        )  # no markup, no :emoji:
        sys.exit(2)
    except Exception as error:  # a mistake of ours, in full but for passwords, or a disk that is full
        if not (reason := redacted(disk_full(error))):
            sys.exit(redacted(traceback.format_exc()))
        err.print(
            f"[bold red]error:[/] a disk is full: {escape(reason)}\nfree some of it; the same command goes on from here",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
