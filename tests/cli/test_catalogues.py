"""What commands print that need no store: strategies, datasets, backbones, the schema of studies."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commands import bench, bench_process


def test_the_catalogues(tmp_path: Path) -> None:
    entries = json.loads(bench(tmp_path, "strategies", "--json").stdout)
    assert {"name", "family", "summary", "source", "hyperparameters"} <= set(entries[0])
    assert {"scratch", "linear_probe", "last_stages", "freeze_first", "full", "staged", "l2_sp"} <= {
        e["name"] for e in entries
    }
    assert "1802.01483" in bench(tmp_path, "strategies", "l2_sp").stdout
    assert any(
        e["name"] == "sklearn/digits" for e in json.loads(bench(tmp_path, "datasets", "--json").stdout)
    )
    assert json.loads(bench(tmp_path, "schema").stdout)["title"] == "Study"
    assert any(e["name"] == "resnet18" for e in json.loads(bench(tmp_path, "backbones", "--json").stdout))


def test_so_does_a_process_of_its_own(tmp_path: Path) -> None:
    told, inside = (run(tmp_path, "strategies", "l2_sp") for run in (bench_process, bench))
    assert told.returncode == 0 and told.stdout == inside.stdout and not told.stderr
    refused = bench_process(tmp_path, "strategies", "l2sp")
    assert refused.returncode == 2 and refused.stderr.startswith("error: ") and "l2_sp" in refused.stderr
