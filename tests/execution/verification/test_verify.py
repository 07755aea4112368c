"""`bench verify` on the shipped reference: results of these versions belong to it, those of a doubled rate do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.execution.executors.choose import Request
from bench.execution.verification import verify
from bench.execution.verification.compare import Compared, compare
from bench.execution.verification.reference import Key, Reference
from tests.support.displays import Quiet

SEEDS = range(verify.FIRST, verify.FIRST + 5)
ONE_NETWORK = [
    "backbones=[{name: test_resnet, source: synthetic/source, source_train: {epochs: 4}}]",
    "strategies=[linear_probe, last_stages]",
]
"""Of the reference, what takes half a minute; the whole of it: `pytest -m long` of this file."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pretrained networks, so that the second call finds them."""
    return tmp_path_factory.mktemp("cache")


def judged(cache: Path, sets: Sequence[str], workers: int = 0) -> list[Compared]:
    found = verify.measure(SEEDS, Request(workers=workers).make, Quiet(), cache, sets)
    return compare(_part(Reference.read(), found), found)


def _part(reference: Reference, found: Mapping[Key, object]) -> Reference:
    return replace(reference, values={key: own for key, own in reference.values.items() if key in found})


def strange(lines: Sequence[Compared]) -> set[Key]:
    return {line.key for line in lines if not line.belongs}


def test_results_of_these_versions_belong_to_the_reference(cache: Path) -> None:
    lines = judged(cache, ONE_NETWORK)
    assert len(lines) == 4 and strange(lines) == set()


def test_a_doubled_default_rate_is_found(cache: Path) -> None:
    lines = judged(cache, [*ONE_NETWORK, "hyperparameters={last_stages: {lr: 0.02}}"])
    assert {strategy for _, strategy, _ in strange(lines)} == {"last_stages"}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_of_it_belongs_and_each_doubled_rate_is_found(cache: Path) -> None:
    assert strange(judged(cache, [], workers=2)) == set()
    doubled = "{last_stages: {lr: 0.02}, full: {lr: 0.02}, scratch: {lr: 0.2}, linear_probe: {lr: 0.2}}"
    found = {strategy for _, strategy, _ in strange(judged(cache, [f"hyperparameters={doubled}"], workers=2))}
    assert {"last_stages", "linear_probe"} <= found
