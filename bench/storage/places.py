"""Where things are kept: the tracking store and the cache. Torch-free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError

DEFAULT_STORE = "sqlite:///mlflow.db"


def store_uri(explicit: str | None = None) -> str:
    """`explicit`, else MLFLOW_TRACKING_URI, else mlflow.db in this folder (MLflow's own default); SQLite paths absolute."""
    uri = explicit or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).expanduser().absolute()}"
    return uri


def optuna_storage(explicit: str | None, store: str) -> str:
    """`explicit`, else OPTUNA_STORAGE, else a journal beside the SQLite file of `store`, or in this folder.

    Never the database of MLflow itself: their schemas clash.
    """
    url = explicit or os.environ.get("OPTUNA_STORAGE")
    if url is None:
        database = store.removeprefix("sqlite:///") if store.startswith("sqlite:///") else "."
        return str(Path(database).absolute().parent / "optuna.journal")
    url = store_uri(url) if "://" in url else str(Path(url).expanduser().absolute())
    if url == store:
        raise UserError("tune.storage: MLflow and Optuna cannot share a database; give Optuna one of its own")
    return url


def cache_dir() -> Path:
    """BENCH_CACHE, else .bench-cache in this folder: images, weights pretrained here, what was measured. Safe to delete."""
    return Path(os.environ.get("BENCH_CACHE", ".bench-cache")).expanduser().absolute()


def place(base: Path, path: str) -> Path:
    """What a study calls `path`: ~ is a home, and a relative one starts at `base`. Raises UserError for what is no path."""
    try:
        if "\0" in path:
            raise ValueError("it holds a NUL character")
        return base / Path(path).expanduser()
    except (ValueError, RuntimeError) as error:  # the latter for the home of somebody unknown
        raise UserError(f"{path!r} is no path: {str(error)[0].lower()}{str(error)[1:]}") from None


@dataclass(frozen=True)
class Places:
    """Folders that a run needs: what relative paths in the study refer to, and where computed things are kept."""

    base: Path
    cache: Path


_used: dict[Path, None] = {}


def used(entry: Path) -> Path:
    """Note an entry of the cache, complete, that this process has made or read: other machines may need it too."""
    _used[entry] = None
    return entry


def all_used() -> list[Path]:
    """Every entry that was noted in this process, in the order of its first use."""
    return list(_used)
