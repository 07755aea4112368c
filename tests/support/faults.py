"""Disks that are really full: a small file system in a mount namespace of its own, or a limit on the size of files."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from tests.conftest import ROOT

STUDY = """
name: faulty
datasets:
  - name: synthetic/fine
    options: {pool_per_class: 6, test_per_class: 2}
    similarity: similar
    n_per_class: [5]
backbones: [{name: test_resnet, random: true}]
strategies: [full, linear_probe]
hyperparameters: {full: {lr: 0.001}}
seeds: 1
train: {image_size: 32, precision: fp32, batch_size: 16, epochs: 2}
matrix: {small_at_most: 5}
system_metrics: false
"""
"""Two runs, prepared in a second or two."""

MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && cd "$2" && shift 2 && exec "$@"'
LIMIT = 'ulimit -f "$(( $1 / 1024 ))"; cd "$2" && shift 2 && exec "$@"'
"""In bash blocks have 1024 bytes. Python ignores the signal that comes with the error."""


@lru_cache(maxsize=1)
def can_mount() -> bool:
    """Needs root, or a kernel that lets others have namespaces; CI's containers have neither."""
    probe = ["unshare", "-m", "sh", "-c", MOUNT, "sh", "64k", "/mnt", "true"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def on_small_disk(folder: Path, size: int, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in `folder`, which is an empty disk of `size` bytes (where that cannot be: no file is larger).

    What it writes there is gone afterwards in the first case. `args`: its sys.argv[1:].
    """
    kind = ["unshare", "-m", "sh", "-c", MOUNT] if can_mount() else ["bash", "-c", LIMIT]
    python = [sys.executable, "-c", script, *args]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*kind, "sh", str(size), str(folder), *python], capture_output=True, text=True, timeout=300, env=env
    )
