"""Other people's `reports` and `strategies` are not taken for ours, nor is a study folder's own `reports`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def bench(folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [
        sys.executable,
        "-c",
        "import sys; from bench.__main__ import main; sys.argv[1:] = ['datasets']; main()",
    ]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["reports", "strategies"])
def test_another_package_of_that_name_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    result = bench(ROOT.parent, tmp_path, ROOT)
    assert result.returncode == 2 and f"the package '{name}' is the one in {tmp_path / name}" in result.stderr


def test_a_study_folder_may_have_its_own_reports(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "strategies").mkdir()
    command = [sys.executable, "-m", "bench", "datasets"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "sklearn/digits" in result.stdout, result.stderr
