"""MLflow's tables, made once: later SQLite stores of this process begin as a copy, not with two seconds of migrations.

Stores that other processes make (`bench` in a process of its own, MLflow's server) are made by MLflow itself.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copy_from_now_on() -> None:
    """If this process has imported MLflow, and once."""
    utils: Any = sys.modules.get("mlflow.store.db.utils")
    if utils is not None and not hasattr(utils._initialize_tables, "template"):
        utils._initialize_tables = copying(utils._initialize_tables)


def copying(migrate: Callable[[Any], None]) -> Callable[[Any], None]:
    """`_initialize_tables`, but for an SQLite file that is empty: that one becomes a copy of the first of its kind."""
    folder = tempfile.TemporaryDirectory(prefix="bench-mlflow-tables-")
    template = Path(folder.name) / "empty.db"

    def initialize(engine: Any) -> None:
        path = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else Path()
        if not path.is_file() or path.stat().st_size:
            migrate(engine)
        elif template.exists():
            engine.dispose()
            shutil.copyfile(template, path)
        else:
            migrate(engine)
            engine.dispose()
            shutil.copyfile(path, template)

    initialize.template = folder  # type: ignore[attr-defined]  # which lives as long
    return initialize
