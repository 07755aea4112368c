"""The evidence in the package: small, readable, and enough to advise from and to make the answer page, without a store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.advice import gathering
from bench.cli import main as cli
from tests.conftest import ROOT

LARGEST = 2_000_000


def call(*arguments: str) -> str:
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False).stdout


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    for k in range(3):
        (tmp_path / "mine" / f"class{k}").mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 120, (64, 64, 3)) + np.array([40 * k, 0, 120 - 40 * k])
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "mine" / f"class{k}" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "mine"


def test_it_is_small_and_says_nothing_of_the_machine() -> None:
    files = sorted(gathering.SHIPPED.glob("*.parquet"))
    assert gathering.LEAD in {path.name for path in files}
    assert sum(path.stat().st_size for path in files) < LARGEST
    (lead,) = (s for s in gathering.of_package() if s.study.name == "evidence")
    said = json.dumps(lead.study.to_json())
    assert "/work/" not in said and "/root" not in said and lead.study.store == ""
    assert {"bench.host", "mlflow.user"}.isdisjoint({key for run in lead.runs for key in run.tags})


def test_without_a_store_it_advises_with_hyperparameters_on_a_network_it_does_not_know(images: Path) -> None:
    asked = ["advise", str(images), "--backbone", "test_resnet", "--set", "random=true", "--image-size", "32"]
    found = json.loads(call(*asked, "--json"))
    first = found["strategies"][0]
    assert any(one["searched"] and one["name"].endswith("lr") for one in first["settings"])
    assert found["backbone"]["foreign"] and found["evidence"]["datasets"] >= 20
    assert found["evidence"]["nearest"] and found["trial"]["datasets"] >= 20
    text = call(*asked)
    assert "settings " in text and "rule " in text and "how sure    on the evidence's own network" in text
    assert "no range: no evidence is of this network" in text
    lost = found["forgiving"]
    assert (
        lost["searches"] >= 20
        and lost["below"] > 0
        and "forgiving   points lost with rates 3.2 times" in text
    )
    left = json.loads(call(*asked, "--json", "--without", "steel_neu"))
    assert left["evidence"]["datasets"] == found["evidence"]["datasets"] - 1


def test_the_page_in_the_documents_is_that_of_the_evidence(tmp_path: Path) -> None:
    call("answer", "--out", str(tmp_path))
    made, kept = ((folder / "answer.md").read_text() for folder in (tmp_path, ROOT / "docs" / "answer"))
    assert made == kept, "make answer"
