"""Evidence of a store and of the package, together: what is gathered, listed and left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.advice import gathering, listing
from bench.advice.gathering import gather, of_package, of_store, sources
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.tracking.exchange.exporting import export
from tests.support import simulated_evidence as simulated


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("evidence")
    simulated.store(
        uri := f"sqlite:///{home / 'mlflow.db'}",
        simulated.study(simulated.PLANTED, datasets=3, sizes=(5, 200), seeds=1, noise=0.0),
        home / "artifacts",
    )
    return uri


@pytest.fixture(scope="module")
def packaged(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (name,) = (source.study.name for source in of_store(uri) if not isinstance(source, str))
    export(uri, name, folder / "one.parquet", results_alone=True)
    return folder


@pytest.fixture(autouse=True)
def shipped(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SHIPPED", packaged)


def nowhere(folder: Path) -> str:
    return f"sqlite:///{folder / 'none.db'}"


def test_the_packages_evidence_is_what_the_store_had(uri: str, tmp_path: Path) -> None:
    from_store, from_package = gather(of_store(uri)), gather(sources(nowhere(tmp_path)))
    assert (
        from_package.reference == from_store.reference and from_package.image_sizes == from_store.image_sizes
    )
    assert len(from_package.conditions) == len(from_store.conditions) == 6
    for one, other in zip(from_store.conditions, from_package.conditions, strict=True):
        assert (one.accuracies, one.place, one.rule) == (other.accuracies, other.place, other.rule)
        assert one.seconds == pytest.approx(other.seconds, rel=5e-3)


def test_what_store_and_package_both_have_counts_once(uri: str) -> None:
    assert len(gather(sources(uri)).conditions) == 6
    assert len(gather(sources(uri, shipped=False)).conditions) == 6


def test_datasets_can_be_left_out(uri: str) -> None:
    labels = {c.label for c in gather(of_store(uri)).conditions}
    left = min(labels)
    assert {c.label for c in gather(of_store(uri), without=[left]).conditions} == labels - {left}
    assert gather(of_store(uri), without=["*"]).conditions == []


def test_without_store_and_package_there_is_none(tmp_path: Path) -> None:
    found = gather(sources(nowhere(tmp_path), shipped=False))
    assert found.conditions == [] and found.reference is None
    assert not (tmp_path / "none.db").exists()


def test_a_damaged_file_is_said_by_name(packaged: Path, tmp_path: Path) -> None:
    shutil.copy(packaged / "one.parquet", tmp_path)
    (tmp_path / "two.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"two\.parquet"):
        list(of_package(tmp_path))


def test_it_is_listed_by_dataset_network_and_strategy(uri: str, tmp_path: Path) -> None:
    rows = listing.listing(sources(nowhere(tmp_path)))
    assert {row["origin"] for row in rows} == {"package"} and len(rows) == 6
    told = CliRunner().invoke(cli.app, ["evidence", "--store", nowhere(tmp_path), "--json"])
    assert json.loads(told.stdout) == json.loads(json.dumps(rows))
    text = CliRunner().invoke(cli.app, ["evidence", "--store", nowhere(tmp_path)]).stdout
    assert "5, 200" in text and all(strategy in text for strategy in rows[0]["strategies"])
    first = listing.by_strategy(rows)[0]
    assert first["conditions"] == 6 and float(first["mean points behind the best"]) >= 0
    none = CliRunner().invoke(cli.app, ["evidence", "--store", nowhere(tmp_path), "--no-shipped"])
    assert none.stdout.startswith("none:")
