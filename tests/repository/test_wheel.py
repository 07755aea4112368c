"""The wheel in an empty environment, outside the checkout: plans, runs and reports a copied study."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

UV = shutil.which("uv", path=f"{ROOT / '.uv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
IMAGES = "options={pool_per_class: 12, test_per_class: 5}"
SMALL = [
    f"--set={setting}"
    for setting in (
        *("seeds=1", "strategies=[linear_probe, full]", "hyperparameters={full: {lr: 1e-3}}"),
        *(
            "train.epochs=1",
            "train.min_steps=0",
            "matrix.small_at_most=5",
            "backbones.0.source_train.epochs=1",
        ),
        "backbones.0.source={name: synthetic/source, options: {pool_per_class: 8, test_per_class: 2}}",
        *(f"datasets.{i}.{setting}" for i in (0, 1) for setting in (IMAGES, "n_per_class=[5, 10]")),
    )
]


def command(*args: str | Path, cwd: Path) -> str:
    """Its output, of a process that knows nothing of the checkout."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "BENCH_CACHE")}
    done = subprocess.run(args, cwd=cwd, env=kept, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, f"{args}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.skipif(UV is None, reason="uv is neither in .uv nor on the PATH")
def test_a_copied_study_runs_with_the_installed_wheel(tmp_path: Path) -> None:
    assert UV
    source = tmp_path / "source"  # setuptools writes beside what it builds
    source.mkdir()
    for name in ("bench", "strategies", "reports"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command(UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(about).decode()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "bench",
        "strategies",
        "reports",
        "finetune_bench",
    }
    assert not [name for name in names if "examples" in name]
    assert "License-Expression: Apache-2.0" in metadata and "# finetune-bench" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in names)

    python, work = tmp_path / "empty" / "bin" / "python", tmp_path / "elsewhere"
    command(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "empty", cwd=tmp_path)
    pins = ROOT / "constraints.txt"
    command(UV, "pip", "install", "--quiet", "--python", python, "-c", pins, wheel, cwd=tmp_path)
    work.mkdir()
    shutil.copy(ROOT / "studies" / "quickstart.yaml", work)
    bench = python.with_name("bench")

    planned = json.loads(command(bench, "plan", "quickstart.yaml", *SMALL, "--json", cwd=work))
    command(bench, "run", "quickstart.yaml", *SMALL, cwd=work)
    runs = json.loads(command(bench, "runs", "quickstart", "--json", cwd=work))
    assert len(runs) == len(planned["runs"]) == 8 and {run["status"] for run in runs} == {"finished"}
    written = work / "reports" / "out" / "quickstart"
    assert (written / "report.html").is_file() and "## " in (written / "report.md").read_text()
    assert "x the time of plain full fine-tuning" in command(bench, "strategies", "full", cwd=work)
    where = command(python, "-c", "import bench; print(bench.__file__)", cwd=work)
    assert Path(where.strip()).is_relative_to(tmp_path / "empty")
