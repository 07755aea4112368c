"""`bench advise` from folder and store to words: real images, a real network, a real (small) store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.advice import advise, gathering
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.records.study import BackboneRecord
from bench.core.schema import Measure
from tests.support import simulated_evidence as simulated

RANDOM = BackboneRecord("test_resnet", "random", label="net")
ASK = ["--backbone", "test_resnet", "--set", "random=true", "--image-size", "32"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3 classes of 8 to 10 images (2 or 3 of each held out as test images), and a cache."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for k, count in enumerate((8, 9, 10)):
        (home / "images" / f"class{k}").mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 120, (32, 32, 3)) + np.array([40 * k, 0, 120 - 40 * k])
            Image.fromarray(pixels.astype(np.uint8)).save(home / "images" / f"class{k}" / f"{i}.png")
    return home


@pytest.fixture(scope="module")
def empty(home: Path) -> Path:
    """A store without a study: to make one takes seconds, to copy one does not."""
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{home}/empty.db").search_experiments()
    return home / "empty.db"


@pytest.fixture(scope="module")
def store(home: Path, empty: Path) -> str:
    uri = f"sqlite:///{shutil.copy(empty, home / 'mlflow.db')}"
    study, rows = simulated.study(simulated.PLANTED, datasets=3, sizes=(5, 200), seeds=1, noise=0.0)
    simulated.store(uri, (replace(study, backbones=(RANDOM,)), rows), home / "artifacts")
    return uri


@pytest.fixture(autouse=True)
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(home / "cache"))
    monkeypatch.setattr(gathering, "SHIPPED", home / "none")
    monkeypatch.chdir(home)


def call(*arguments: str) -> str:
    return CliRunner().invoke(cli.app, ["advise", *arguments], catch_exceptions=False).stdout


def test_a_folder_is_placed_and_advised_on(store: str) -> None:
    found = json.loads(call("images", *ASK, "--store", store, "--similarity", "similar", "--json"))
    assert found["data"] | {"notes": []} == {
        "path": "images", "classes": 3, "images": 19, "smallest_class": 6, "median_class": 6, "n_per_class": 6,
        "notes": [],
    }  # fmt: skip
    assert set(found["measures"]) == {Measure.LOGME, Measure.H_SCORE, Measure.KNN, Measure.PROBE}
    assert "unavailable" in found["missing"][Measure.FRECHET_STEM] and found["probes"] == []
    assert found["backbone"]["identity"] == "test_resnet (random)"
    assert found["rule"]["picks"] == {"similar-small": "linear_probe"} and found["rule"]["from"] == "made"
    summary = found["evidence"]
    assert (summary["conditions"], summary["datasets"], summary["runs"]) == (6, 3, 36)
    assert summary["nearest"][0]["n_per_class"] == 5 and len(summary["distance_by"]) == 4
    assert found["reference"] == "full" and found["strategies"][0]["gain"] > 0 and found["by_probe"]
    assert found["trial"]["datasets"] == 3 and found["margin"]["datasets"] == 3


def test_in_words(store: str) -> None:
    text = call("images", *ASK, "--store", store)
    for part in (
        "advice ",
        "expected ",
        "95 % range",
        "cost ",
        "how sure ",
        "nearest ",
        "standard deviations",
    ):
        assert part in text, part
    assert "linear_probe (similar, small) or last_stages (dissimilar, small)" in text
    assert "similarity unknown" in text and "on 3 held-out datasets such advice lost" in text


def test_probes_come_first_where_asked_for(store: str) -> None:
    found = json.loads(call("images", *ASK, "--store", store, "--probe", "--json"))
    assert [p["n_per_class"] for p in found["probes"]] == [2, 5, 6]
    assert all(p["draws"] == 3 and 0 <= p["values"][Measure.PROBE] <= 1 for p in found["probes"])
    assert found["probes"][0]["probe_sd"] is not None
    assert "linear probe at 5 per class" in call("images", *ASK, "--store", store, "--probe")


def test_without_evidence_the_rule_stands_alone_and_is_marked(home: Path) -> None:
    text = call("images", *ASK, "--store", f"sqlite:///{home}/none.db", "--similarity", "dissimilar")
    assert "none from evidence: the store holds no results" in text
    assert "rule only   last_stages (dissimilar, small), says the textbook; a rule, not a measurement" in text
    assert "expected" not in text and not (home / "none.db").exists()


def test_a_similarity_that_can_be_measured_is(home: Path) -> None:
    source = "source={name: synthetic/source, options: {pool_per_class: 8, test_per_class: 2}}"
    content = [
        "--backbone",
        "test_resnet",
        "--set",
        source,
        "--set",
        "source_train.epochs=1",
        "--image-size",
        "32",
    ]
    nowhere = ["--store", f"sqlite:///{home}/none.db", "--json"]
    found = json.loads(call("images", *content, *nowhere))
    distance = found["measures"][Measure.FRECHET_STEM]
    assert distance > 0.15 and found["rule"]["similarity"] == "dissimilar"
    assert (
        json.loads(call("images", *content, *nowhere, "--similarity", "similar"))["rule"]["similarity"]
        == "similar"
    )


def test_evaluation_prints_a_line_per_policy(store: str) -> None:
    text = call("--evaluate", "--store", store)
    for policy in ("the advice", "the textbook's rule", "always the baseline", "always linear probe"):
        assert policy in text, policy
    assert "6 conditions of 3 datasets" in text
    found = json.loads(call("--evaluate", "--store", store, "--json"))
    assert [s["policy"] for s in found["scores"]][:2] == ["advice", "rule"] and len(found["left_out"]) == 6
    assert json.loads(call("--evaluate", "--probe", "--store", store, "--json"))["conditions"] == 6


def test_one_dataset_is_too_little_evidence(home: Path, empty: Path) -> None:
    uri = f"sqlite:///{shutil.copy(empty, home / 'one.db')}"
    simulated.store(uri, simulated.study(simulated.PLANTED, datasets=1, seeds=1), home / "one")
    text = call("images", *ASK, "--store", uri)
    assert "none from evidence: results of 1 dataset only" in text and "rule only" in text
    assert "2 conditions of 1 dataset" in text and "expected" not in text


def test_measures_of_older_studies_can_be_handed_in(home: Path, empty: Path) -> None:
    uri = f"sqlite:///{shutil.copy(empty, home / 'old.db')}"
    old = simulated.study(simulated.PLANTED, datasets=2, seeds=1, measured=False)
    simulated.store(uri, old, home / "old")
    bare = gathering.gather(gathering.of_store(uri))
    assert (
        len(bare.conditions) == 4 and "4 of 4 conditions come from studies without measures" in bare.notes[0]
    )
    new = simulated.study(simulated.PLANTED, datasets=2, seeds=1)[0].datasets
    entries = [{"dataset": d.label, **vars(m)} for d in new for m in d.measures]
    (home / "measures.json").write_text(json.dumps(entries))
    assert "2 of the 3 datasets that it takes to tell" in call("--evaluate", "--store", uri)
    full = gathering.gather(gathering.of_store(uri), gathering.read_measures(home / "measures.json"))
    assert not full.notes and all(Measure.PROBE in c.place.measures for c in full.conditions)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", *ASK], "nowhere does not exist"),
        (["images/class0", *ASK], "no class folders"),
        (["images", "--backbone", "test_resnet"], "exactly one origin"),
        (["images", "--backbone", "test_resnt", "--pretrained"], "test_resnet"),
        (["images", "--backbone", "test_resnet", "--checkpoint", "gone.pth"], "no such file"),
        (["images", *ASK, "--set", "kwarg.pad=1"], "kwarg"),
        (["images", *ASK, "--n-per-class", "50"], "has only 6 images"),
        (["images", *ASK, "--similarity", "near"], "similar or dissimilar"),
        (["images"], "--backbone NAME"),
        (["images", *ASK, "--measures", "gone.json"], "gone.json"),
        (["--evaluate"], "nothing to judge by"),
    ],
)
def test_wrong_input_is_told(arguments: list[str], said: str, home: Path) -> None:
    with pytest.raises(UserError, match=said):
        call(*arguments, "--store", f"sqlite:///{home}/none.db")


def test_wrong_input_ends_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "advise", "nowhere", *ASK])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2


def test_the_way_out_that_a_message_on_images_names_works_here_too(
    store: str, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "images", tmp_path / "images")
    (tmp_path / "images" / "class0" / "broken.png").write_bytes(b"no image")
    ask = [str(tmp_path / "images"), *ASK, "--store", store, "--json"]
    with pytest.raises(UserError) as refused:
        call(*ask)
    said = next(line for line in str(refused.value).splitlines() if "skip_damaged" in line)
    assert "given as --set datasets.0.options.NAME=VALUE" in str(refused.value)
    found = json.loads(call(*ask, *said[said.index("--set") :].split()))
    assert any("left out (skip_damaged): 1" in note for note in found["data"]["notes"])


def test_of_the_images_only_options_are_set() -> None:
    with pytest.raises(UserError, match=r"only datasets\.0\.options\.NAME=VALUE can be set"):
        advise.divided(["datasets.0.n_per_class=5"])
    assert advise.divided(["random=true", "datasets.0.options.test=none"]) == (
        ["random=true"],
        {"test": "none"},
    )
