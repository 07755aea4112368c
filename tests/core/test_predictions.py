"""The file of a run's predictions: small, exact enough, and never a pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from bench.core.records.predictions import Predictions


def made(images: int = 1000, classes: int = 10) -> Predictions:
    draw = np.random.default_rng(0)
    label = np.repeat(np.arange(classes), images // classes)
    predicted = np.where(draw.random(images) < 0.8, label, draw.integers(0, classes, images))
    sure = -draw.exponential(0.2, images)
    of_label = np.where(label == predicted, sure, sure - draw.exponential(2.0, images))
    return Predictions.of("abc", classes, label, predicted, sure, of_label)


def test_it_comes_back_as_it_was() -> None:
    own = made()
    again = Predictions.from_bytes(own.to_bytes())
    assert again.test_set == "abc" and len(again) == 1000
    for name in ("label", "predicted", "log_probability", "label_log_probability"):
        assert np.array_equal(getattr(again, name), getattr(own, name))
    assert again.right.mean() == (own.label == own.predicted).mean() and "1000 images" in repr(again)


@pytest.mark.parametrize(("images", "classes", "most"), [(1000, 10, 6_000), (100, 10, 2_500)])
def test_it_takes_a_few_kilobytes(images: int, classes: int, most: int) -> None:
    assert len(made(images, classes).to_bytes()) < most


@pytest.mark.parametrize(("classes", "kind"), [(2, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_classes_are_the_smallest_integers_that_hold_them(classes: int, kind: type) -> None:
    own = made(images=classes * 2, classes=classes)
    assert own.label.dtype == own.predicted.dtype == kind
    assert own.label.max() == classes - 1


def test_logarithms_keep_both_ends() -> None:
    """Where float16 of the probability itself would say 1 and 0, and of minus infinity there would be no likelihood."""
    logs = np.array([-1e-5, -40.0, -1e9, -np.inf])
    found = Predictions.of("x", 2, np.zeros(4, int), np.ones(4, int), logs, logs)
    assert found.probability[0] == pytest.approx(1 - 1e-5, abs=1e-7) and np.float16(1 - 1e-5) == 1
    assert found.label_log_probability[1] == -40 and np.float16(np.exp(-40.0)) == 0
    assert np.isfinite(found.nll)


def with_pickle() -> bytes:
    file = io.BytesIO()
    arrays = {
        name: getattr(made(), name) for name in ("predicted", "log_probability", "label_log_probability")
    }
    np.savez(file, test_set=np.array("x"), label=np.array([object()] * 1000), **arrays)
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("label.npy", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(2**20))
    return file.getvalue()


def of_other_lengths() -> bytes:
    own = made()
    return Predictions(own.test_set, own.label[1:], *own_rest(own)).to_bytes()


def own_rest(own: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return own.predicted, own.log_probability, own.label_log_probability


@pytest.mark.parametrize(
    "content",
    [
        with_pickle,
        bomb,
        of_other_lengths,
        lambda: b"",
        lambda: b"no zip",
        lambda: made().to_bytes()[:2000],
        lambda: made().to_bytes()[:1000] + bytes(len(made().to_bytes()) - 1000),
        lambda: made().to_bytes().replace(b"predicted", b"predictex"),
    ],
    ids=["a pickle", "a bomb", "lengths", "empty", "no zip", "cut off", "zeros", "another name"],
)
def test_anything_else_is_refused(content: Callable[[], bytes]) -> None:
    with pytest.raises(ValueError, match=r"no file of predictions|allow_pickle|pickle"):
        Predictions.from_bytes(content())


def test_one_flipped_bit_is_found() -> None:
    whole = bytearray(made().to_bytes())
    whole[len(whole) // 2] ^= 1
    with pytest.raises(ValueError, match="no file of predictions"):
        Predictions.from_bytes(bytes(whole))
