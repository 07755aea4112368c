"""The store of activations: complete or absent, within its budget, and what cannot be kept is computed anew."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.storage.arrays import ArrayFile
from bench.training.cached_features import store as module
from bench.training.cached_features.recall import Memory
from bench.training.cached_features.store import GIB, ActivationStore, limit
from tests.support.cached_loop import trained

ROWS = torch.arange(12.0).reshape(4, 3)


def chunks() -> Iterator[Tensor]:
    yield from ROWS.split(3)


def never() -> Iterator[Tensor]:
    raise AssertionError("computed although it is there")
    yield


def get(store: ActivationStore, name: str, make=chunks, size: int = 48, kind: str = "train"):  # type: ignore[no-untyped-def]
    return store.get_or_make({"name": name}, size, make, kind)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_made_once_is_found_by_all(dtype: torch.dtype, tmp_path: Path) -> None:
    rows = ROWS.to(dtype)
    assert torch.equal(get(ActivationStore(tmp_path, GIB), "a", lambda: iter([rows])).rows, rows)
    other = ActivationStore(tmp_path, GIB)
    entry = get(other, "a", never)
    assert torch.equal(entry.rows, rows) and entry.rows.dtype == dtype
    assert other.cached_feature_seconds("train") == entry.seconds > 0 == other.cached_feature_seconds("eval")


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Tensor]:
        yield ROWS
        raise RuntimeError("killed")

    store = ActivationStore(tmp_path, GIB)
    with pytest.raises(RuntimeError, match="killed"):
        get(store, "a", broken)
    assert not store.has({"name": "a"}) and not [p for p in tmp_path.iterdir() if p.name != ".locks"]
    assert torch.equal(get(store, "a").rows, ROWS)


def test_what_a_killed_process_left_is_never_read_and_cleared_away(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path, GIB)
    get(store, "a")
    (folder,) = (p for p in tmp_path.iterdir() if p.name != ".locks")
    half = folder.with_name(f".{folder.name}-dead")
    folder.rename(half)
    assert not store.has({"name": "a"})
    assert torch.equal(get(store, "a").rows, ROWS)
    assert not half.exists()


def test_a_full_disk_means_no_cache_and_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: ArrayFile, rows: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ArrayFile, "append", full)
        store = ActivationStore(tmp_path, GIB)
        assert get(store, "a") is None
        _trainer, log, _ = trained("last_stages", "test_resnet", store)
        assert not [p for p in tmp_path.iterdir() if p.name != ".locks"]
    _, expected, _ = trained("last_stages", "test_resnet", None)
    assert [e["train/loss"] for e in log] == pytest.approx([e["train/loss"] for e in expected], rel=1e-3)


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    one = get(ActivationStore(tmp_path, GIB), "probe").rows.nbytes + 128  # numpy's header
    store = ActivationStore(tmp_path, 3 * one)
    store.drop({"name": "probe"})
    for age, name in enumerate("abc"):
        get(store, name, size=one)
        then = time.time() - 100 + age
        os.utime(tmp_path / module.content_hash({"name": name}) / "meta.json", (then, then))
    held = get(store, "a", never, one).rows  # used again, so b is now the oldest
    get(store, "d", size=one)
    assert [store.has({"name": name}) for name in "abcd"] == [True, False, True, True]
    store.drop({"name": "a"})
    assert torch.equal(held, ROWS), "what somebody still reads stays readable"


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    assert get(ActivationStore(tmp_path, 50), "a", never) is None


@pytest.mark.parametrize("damage", ["other rows", "cut off", "no meta"])
def test_an_entry_that_is_not_what_the_network_gives_is_made_anew(damage: str, tmp_path: Path) -> None:
    _, expected, _ = trained("last_stages", "test_resnet", ActivationStore(tmp_path, GIB))
    for rows in tmp_path.glob("*/rows.npy"):
        if damage == "other rows":
            np.save(rows, np.load(rows) + 1)
        elif damage == "cut off":
            rows.write_bytes(rows.read_bytes()[:-40])
        else:
            (rows.parent / "meta.json").write_text("")
    _, log, _ = trained("last_stages", "test_resnet", ActivationStore(tmp_path, GIB))
    assert [e["train/loss"] for e in log] == pytest.approx([e["train/loss"] for e in expected], rel=1e-3)


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_budget_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_GIB", text)
    with pytest.raises(UserError, match="BENCH_CACHE_GIB"):
        limit()


def test_a_memory_computes_each_view_once() -> None:
    x, calls = torch.randn(6, 3, 4, 4), []

    def compute(images: Tensor) -> dict[str, Tensor]:
        calls.append(len(images))
        return {"map": (images * 2).to(memory_format=torch.channels_last), "mean": images.mean((1, 2, 3))}

    memory, owner = Memory(6, torch.device("cpu")), object()
    for numbers in ([0, 1, 2], [2, 3], [3, 2, 0]):
        index = torch.tensor(numbers)
        found = memory.recall(owner, index, lambda index=index: x[index], compute)
        assert torch.equal(found["map"], x[index] * 2) and torch.allclose(
            found["mean"], x[index].mean((1, 2, 3))
        )
    assert calls == [3, 1]
    memory._left = 0
    for _ in range(2):  # no room for another owner: computed each time
        memory.recall(object(), torch.tensor([0]), lambda: x[:1], compute)
    assert calls == [3, 1, 1, 1]
