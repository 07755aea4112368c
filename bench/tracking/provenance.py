"""Where a run comes from: versions, commit, user. What a reader needs to make the same run again."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.core.schema import Tag


def tags() -> dict[str, str]:
    """Tags of every run; the mlflow.* ones fill the columns of its UI."""
    return {
        Tag.VERSIONS: json.dumps(versions()),
        Tag.GIT_COMMIT: git_commit(),
        "mlflow.source.name": "bench",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
    }


def _user() -> str:
    with suppress(OSError, KeyError):  # a container's user need not have a name
        return getpass.getuser()
    return ""


@lru_cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("finetune-bench", "torch", "torchvision", "timm", "mlflow", "mlflow-skinny", "optuna"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@lru_cache
def git_commit() -> str:
    """The commit of the checkout that this code runs from; "" where it is an installed package."""
    here = Path(__file__).resolve().parent
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""
