"""The score of the unchanged network: what it is, that it costs next to nothing, and that it disturbs no run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.schema import Metric
from bench.core.seeds import derive
from bench.core.spec import RunSpec, TrainSpec
from bench.data.prepare import load_test
from bench.planning import compose
from bench.storage.places import Places
from bench.training.run import unchanged
from bench.training.run.execute import execute, try_out
from bench.training.run.ingredients import make_model, make_task, prepare_for
from bench.training.run.prepared_run import Outcome
from bench.training.run.together import gather
from bench.training.run.unchanged import Unchanged, nearest_class_mean
from tests.support.specs import SPEC

EXACT = (Metric.TEST_ACCURACY, Metric.TEST_NLL, Metric.VAL_NLL, Metric.TEST_ECE)


def ignore(*args: Any) -> None:
    return None


def of(strategy: str, spec: RunSpec = SPEC) -> RunSpec:
    return replace(spec, strategy=compose.parse(strategy, {}))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("unchanged")
    yield Places(folder, folder / "cache")


@pytest.fixture(scope="module")
def ran(places: Places) -> Outcome:
    return execute(SPEC, places, ignore)


def by_hand(spec: RunSpec, places: Places) -> float:
    """Independently: features of a network made anew, means of unit vectors, the largest cosine; numpy alone."""
    prepared = prepare_for(spec, places)
    task, test = make_task(prepared, spec), load_test(prepared.path)
    torch.manual_seed(derive(spec.seed, "model"))
    model = make_model(spec.backbone, task.num_classes, spec.train.image_size, places).eval()
    (x, y), (z, wanted) = (task.features(model, images) for images in (task.train, test))
    x, z = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (x, z))
    means = np.stack([x[y == k].mean(0) for k in range(task.num_classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return float(np.mean((z @ means.T).argmax(1) == wanted))


def test_it_is_the_nearest_class_mean_of_the_network_before_training(places: Places, ran: Outcome) -> None:
    found = ran.metrics[Metric.NCM_TEST_ACCURACY]
    assert found == pytest.approx(by_hand(SPEC, places)) and 0.1 < found < 1
    assert ran.metrics[Metric.NCM_SECONDS] > 0


@pytest.mark.parametrize("strategy", ["scratch", "linear_probe", "norm_only"])
def test_every_strategy_is_held_against_the_same_network(strategy: str, places: Places, ran: Outcome) -> None:  # fmt: skip
    """Also one that throws the weights away: what counts is the network that it was given."""
    own = execute(of(strategy), places, ignore).metrics
    assert own[Metric.NCM_TEST_ACCURACY] == ran.metrics[Metric.NCM_TEST_ACCURACY]


def test_the_second_run_builds_no_network(
    places: Places, ran: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(unchanged, "make_model", refuse)
    seconds = []
    for lr in (0.1, 0.2, 0.3):
        strategy = compose.parse("linear_probe", {"linear_probe": {"lr": lr}})
        own = execute(replace(SPEC, strategy=strategy), places, ignore).metrics
        seconds.append(own[Metric.NCM_SECONDS])
    assert min(seconds) < 0.05, seconds


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, seed=4),
        replace(SPEC, n_per_class=7),
        replace(SPEC, train=replace(SPEC.train, val_share=0.4)),
        replace(SPEC, train=replace(SPEC.train, fit="train+val")),
    ],
    ids=["seed", "images", "validation", "fit"],
)
def test_other_images_and_networks_have_their_own(other: RunSpec, places: Places, ran: Outcome) -> None:
    own = execute(other, places, ignore).metrics
    assert own[Metric.NCM_TEST_ACCURACY] == pytest.approx(by_hand(other, places))


def test_without_a_cache_of_activations_it_is_the_same(
    tmp_path: Path, ran: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE_GIB", "0")
    own = execute(SPEC, Places(tmp_path, tmp_path / "cache"), ignore).metrics
    assert own[Metric.NCM_TEST_ACCURACY] == ran.metrics[Metric.NCM_TEST_ACCURACY]
    assert not (tmp_path / "cache" / "activations").exists()


def test_it_takes_the_activations_that_a_linear_probe_has_left(tmp_path: Path) -> None:
    """Training and test images go through the frozen network once, whoever asks first."""
    places = Places(tmp_path, tmp_path / "cache")
    execute(of("linear_probe"), places, ignore)
    kept = sorted(path.name for path in (places.cache / "activations").iterdir() if path.is_dir())
    (score,) = (places.cache / "unchanged").iterdir()
    score.unlink()
    again = execute(of("linear_probe"), places, ignore).metrics
    assert sorted(p.name for p in (places.cache / "activations").iterdir() if p.is_dir()) == kept
    own = [name for name in kept if not name.startswith(".")]
    assert len(own) == 3, "training, validation and test images"
    assert score.is_file() and again[Metric.CACHED_FEATURE_SECONDS] > 0


def test_seeded_results_and_times_are_what_they_are_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The random state goes on as if nothing had been, and none of its seconds are the run's."""
    states, found = [], []
    scores = Unchanged.scores

    def slow(self: Unchanged, test: Any) -> dict[str, float]:
        before = torch.get_rng_state()
        own = scores(self, test)
        states.append(torch.equal(before, torch.get_rng_state()))
        time.sleep(1)
        return own

    for method in (slow, lambda self, test: {}):
        monkeypatch.setattr(Unchanged, "scores", method)
        places = Places(tmp_path, tmp_path / f"cache{len(found)}")
        start = time.perf_counter()
        found.append(execute(of("lp_ft"), places, ignore).metrics | {"wall": time.perf_counter() - start})
    assert states == [True]
    assert [found[0][key] for key in EXACT] == [found[1][key] for key in EXACT]
    assert found[0]["wall"] - found[0][Metric.TOTAL_SECONDS] > 1
    assert Metric.NCM_TEST_ACCURACY not in found[1]


def test_runs_that_are_trained_as_one_share_it(places: Places, ran: Outcome) -> None:
    specs = [
        replace(SPEC, strategy=compose.parse("linear_probe", {"linear_probe": {"lr": lr}}))
        for lr in (0.01, 1e38, 0.02)
    ]
    together = gather(specs, places)
    assert together
    results = together.execute([ignore] * 3)
    own = [r.metrics[Metric.NCM_TEST_ACCURACY] for r in results if isinstance(r, Outcome)]
    assert own == [ran.metrics[Metric.NCM_TEST_ACCURACY]] * len(own) and len(own) >= 2


def test_trials_do_not_have_it(places: Places) -> None:
    assert Metric.NCM_TEST_ACCURACY not in try_out(SPEC, places, ignore).metrics


def test_nearest_by_angle_and_never_a_class_without_images() -> None:
    own = torch.tensor([[2.0, 0.0], [4.0, 0.1], [0.0, 1.0]])
    other = torch.tensor([[9.0, 1.0], [0.1, 0.2], [-1.0, -1.5], [0.0, 0.0]])
    guesses = nearest_class_mean(own, torch.tensor([0, 0, 2]), other, 4)
    assert guesses.tolist() == [0, 2, 0, 0]  # the third is nearest to (1, 0) of those that there are


def test_a_device_that_is_full_costs_the_score_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(unchanged, "make_model", full)
    short = replace(SPEC, train=TrainSpec(epochs=1, batch_size=16, image_size=32))
    own = execute(short, Places(tmp_path, tmp_path / "cache"), ignore).metrics
    assert Metric.TEST_ACCURACY in own and Metric.NCM_TEST_ACCURACY not in own
