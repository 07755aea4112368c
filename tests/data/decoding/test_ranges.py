"""Images with more than 8 bits: what becomes black and white, for the whole dataset, from training images only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.decoding.ranges import Range, find, levels
from bench.data.prepare import Resolution, load, load_test, prepare

HERE = Path(".")
SIDE = 16


def grey(low: float, high: float, seed: int = 0, dtype: type = np.uint16) -> np.ndarray:
    """Even between low and high, both of them in it many times."""
    shares = np.random.default_rng(seed).permuted(np.linspace(0, 1, SIDE * SIDE).repeat(4))
    return (low + shares * (high - low)).astype(dtype).reshape(2 * SIDE, 2 * SIDE)


def range_of(*images: np.ndarray) -> tuple[float, float]:
    found = find({0: [value for image in images if (value := levels(image))]})
    return found.low, found.high


def with_pixel(image: np.ndarray, value: float) -> np.ndarray:
    image = image.copy()
    image[3, 3] = value
    return image


RANGES = [
    ("all 16 bits", [grey(0, 65535)], (0, 65535)),
    ("most of 16 bits", [grey(900, 41_000)], (0, 65535)),
    ("14 bits", [grey(0, 16_000)], (0, 16383)),
    ("12 bits", [grey(0, 4095)], (0, 4095)),
    ("12 bits, dark", [grey(0, 2500)], (0, 4095)),
    ("10 bits", [grey(3, 1023)], (0, 1023)),
    ("8 bits", [grey(0, 255)], (0, 255)),
    ("4 bits", [grey(0, 15)], (0, 15)),
    ("a mask", [grey(0, 1)], (0, 1)),
    ("around an offset", [grey(30_000, 34_000)], (30_000, 34_000)),
    ("one image brighter than the others", [*[grey(0, 900, i) for i in range(5)], grey(0, 4095)], (0, 4095)),
    ("a hot pixel", [with_pixel(grey(0, 4095), 65535)], (0, 4095)),
    ("a hot pixel in each", [with_pixel(grey(0, 4095, i), 65535) for i in range(5)], (0, 4095)),
    ("one odd image of forty", [*[grey(0, 4095, i) for i in range(39)], grey(0, 65535)], (0, 4095)),
    ("one odd image of ten, which may be none", [*[grey(0, 4095, i) for i in range(9)], grey(0, 65535)], (0, 65535)),
    ("signed", [grey(-1024, 3071, dtype=np.int32)], (-1024, 3071)),
    ("32 bits", [grey(0, 1_000_000, dtype=np.int32)], (0, 2**20 - 1)),
    ("fractions", [grey(0, 1, dtype=np.float32)], (0, 1)),
    ("fractions of 255", [grey(0, 255, dtype=np.float32)], (0, 255)),
    ("logarithms", [grey(-3, 5, dtype=np.float32)], (-3, 5)),
    ("fractions and what is no number", [with_pixel(grey(0, 1, dtype=np.float32), np.nan)], (0, 1)),
    ("one value", [np.full((8, 8), 700, np.uint16)], (0, 1023)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "wanted"), [case[1:] for case in RANGES], ids=[case[0] for case in RANGES]
)
def test_the_range_is_that_of_the_bits_in_use(images: list[np.ndarray], wanted: tuple[float, float]) -> None:
    assert range_of(*images) == pytest.approx(wanted, rel=0.003, abs=0.02)


def test_a_rare_class_of_bright_images_counts() -> None:
    dim, bright = levels(grey(0, 900)), levels(grey(0, 4095))
    assert find({0: [dim] * 200, 1: [bright] * 3}).high == 4095


def test_whole_numbers_and_fractions_share_no_range() -> None:
    with pytest.raises(UserError, match="1 of 2 training images with more than 8 bits have fractions"):
        find({0: [levels(grey(0, 255)), levels(grey(0, 1, dtype=np.float32))]})


@pytest.mark.parametrize("bits", range(8, 17))
def test_bits_are_shifted_and_nothing_wraps_around(bits: int) -> None:
    values = np.arange(0, 65536, dtype=np.uint16)
    shown = Range(0, 2**bits - 1).eight_bit(values)
    assert (shown[: 2**bits] == values[: 2**bits] >> (bits - 8)).all()
    assert (shown[2**bits :] == 255).all()


@pytest.mark.parametrize(
    "wanted", [Range(1000, 2000), Range(-5, 60_000), Range(0.25, 0.75, False), Range(0, 3), Range(7, 8)]
)
def test_below_is_black_above_is_white_and_more_is_never_darker(wanted: Range) -> None:
    dtype = np.int32 if wanted.whole else np.float64
    values = np.linspace(wanted.low - 5, wanted.high + 5, 5000).astype(dtype)
    shown = wanted.eight_bit(values).astype(int)
    assert (np.diff(shown) >= 0).all()
    assert (shown[values <= wanted.low] == 0).all() and (shown[values >= wanted.high] == 255).all()
    assert wanted.eight_bit(np.array([np.nan, np.inf, -np.inf])).tolist() == [0, 255, 0]


# whole folders


def write(
    root: Path, low: float, high: float, count: int = 8, test_high: float | None = None, ending: str = "png"
) -> None:
    for part, top, n in (("train", high, count), ("test", high if test_high is None else test_high, 4)):
        for k, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                values = grey(low, top, 1000 * k + i + 100 * (part == "test"))
                Image.fromarray(values).save(root / part / name / f"{i}.{ending}")


def prepared(root: Path, cache: Path, **options: object):
    data = load(prepare(DatasetSpec(f"folder:{root}", options), Resolution(32, 32), HERE, cache))
    return data, load_test(data.path)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_a_folder_uses_all_greys_whatever_bits_it_uses(top: int, ending: str, tmp_path: Path) -> None:
    write(tmp_path / "images", 0, top, ending=ending)
    data, test = prepared(tmp_path / "images", tmp_path / "cache")
    for part in (data.pool.x, test.x):
        assert len(np.unique(part.numpy())) > 200 and int(part.max()) == 255
    note = next(n for n in data.notes if "more than 8 bits" in n)
    assert note.startswith(
        f"24 of 24 images have more than 8 bits: of their values, 0 to {top} become black to white (found"
    )


def test_test_images_have_no_part_in_the_range_and_are_clipped(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095, test_high=65535)
    data, test = prepared(tmp_path / "images", tmp_path / "cache")
    write(tmp_path / "other", 0, 4095)
    assert (data.pool.x == prepared(tmp_path / "other", tmp_path / "cache")[0].pool.x).all()
    assert (test.x == 255).float().mean() > 0.9
    assert (
        "values outside that range, made black or white: in 0 of 16 training images, 8 of 8 test images"
        in data.notes
    )


def test_deep_test_images_beside_training_images_of_8_bits_need_a_range(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095)
    for path in (tmp_path / "images" / "train").rglob("*.png"):
        values = np.asarray(Image.open(path))
        Image.fromarray((values >> 4).astype(np.uint8)).save(path)
    with pytest.raises(UserError, match="8 of 8 test images have more than 8 bits"):
        prepared(tmp_path / "images", tmp_path / "cache")
    _, test = prepared(tmp_path / "images", tmp_path / "cache", range=[0, 4095])
    assert int(test.x.max()) == 255


def test_the_range_may_be_given_and_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095)
    found, _ = prepared(tmp_path / "images", tmp_path / "cache")
    given, _ = prepared(tmp_path / "images", tmp_path / "cache", range=[0, 8191])
    assert found.path != given.path
    assert int(given.pool.x.max()) == 127 and any(
        "0 to 8191 become black to white (given" in n for n in given.notes
    )


@pytest.mark.parametrize(
    "value", [[4095, 0], [0], [0, 1, 2], "0-4095", [0, "x"], [True, 5], 4095, [5, 5], [0, float("nan")]]
)
def test_a_range_is_two_numbers_the_lower_first(value: object, tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095)
    with pytest.raises(UserError, match=r"option 'range': .* want two numbers, the lower first"):
        registry.inspect(DatasetSpec(f"folder:{tmp_path / 'images'}", {"range": value}), HERE)


def test_images_of_both_depths_are_said_and_those_of_8_bits_are_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095)
    for part in ("train", "test"):
        for path in sorted((tmp_path / "images" / part / "dog").iterdir()):
            Image.fromarray((np.asarray(Image.open(path)) >> 5).astype(np.uint8)).save(path)
    data, _ = prepared(tmp_path / "images", tmp_path / "cache")
    dogs = data.pool.x[data.pool.y == 1]
    assert int(dogs.max()) == 127
    assert any("classes may be told apart: cat 12 of 12, dog 0 of 12" in note for note in data.notes)


def test_a_range_without_deep_images_changes_nothing_and_is_said(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 255)
    for path in (tmp_path / "images").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint8)).save(path)
    plain, _ = prepared(tmp_path / "images", tmp_path / "cache")
    data, _ = prepared(tmp_path / "images", tmp_path / "cache", range=[0, 99])
    assert (data.pool.x == plain.pool.x).all()
    assert "range 0 to 99 is not used: no image has more than 8 bits" in data.notes


def test_images_made_equal_by_a_wrong_range_are_refused_with_the_cause(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 255)
    with pytest.raises(UserError) as error:
        prepared(tmp_path / "images", tmp_path / "cache", range=[0, 65535 * 100])
    assert "no training images" in str(error.value) and "16 of them of a single colour" in str(error.value)
    assert "0 to 6553500 become black to white (given" in str(error.value)
    assert "`options: {range: [2, 253]}` would use them" in str(error.value)


def test_the_range_that_a_remark_names_does_what_it_says(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 255)
    data, _ = prepared(tmp_path / "images", tmp_path / "cache", range=[2, 253])
    assert len(data.pool) == 16 and len(np.unique(data.pool.x.numpy())) > 200


def test_a_burned_in_mark_that_hides_the_picture_is_said(tmp_path: Path) -> None:
    write(tmp_path / "images", 0, 4095)
    for path in (tmp_path / "images").rglob("*.png"):
        values = np.asarray(Image.open(path)).copy()
        values[:2, :4] = 65535
        Image.fromarray(values).save(path)
    data, _ = prepared(tmp_path / "images", tmp_path / "cache")
    assert any("98 % of each training image's values lie between" in note for note in data.notes)
