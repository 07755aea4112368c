"""The command line, from outside: `bench` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

BENCH = [sys.executable, "-m", "bench"]


def bench(folder: Path, *args: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    env.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [*BENCH, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=timeout
    )
