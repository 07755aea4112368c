"""Arguments and options that several commands take, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.core.secrets import refuse_unasked_server
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.storage.places import cache_dir, store_uri
from bench.tracking.store.usable import check_address

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
WithoutFailed = Annotated[
    bool,
    typer.Option("--without-failed", help="look at verdicts without waiting for runs that have failed"),
]
Shipped = Annotated[
    bool,
    typer.Option(
        "--shipped/--no-shipped", help="with the evidence that comes with the package, or the store's alone"
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="KEY=PATTERN",
        help="a part of it: dataset, n_per_class, backbone, strategy, seed, cell or setting; repeatable",
    ),
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


def uri_of(store: str | None) -> str:
    """The address of the store. Raises `UserError` for one that is none."""
    uri = store_uri(store)
    check_address("store", uri)
    return uri


def planned_study(study_file: Path, sets: list[str] | None, store: str | None) -> tuple[planning.Plan, str]:
    study = loading.load(study_file, sets or [])
    if not store:
        refuse_unasked_server("store", study.store, "MLFLOW_TRACKING_URI")
    refuse_unasked_server("tune.storage", study.tune.storage if study.tune else None, "OPTUNA_STORAGE")
    return planning.make(study, study_file, cache_dir()), uri_of(store or study.store)
