"""Batched augmentation agrees with torchvision's, image by image and in distribution."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from bench.data import augment as augmentation
from bench.data.augment import Boxes, Kind, draw, normalise, random_boxes, random_flips, resized_crop, view

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_LEVELS = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}  # leaves pixels as they are


def images(n: int, side: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=g)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(
    x: Tensor, kind: Kind, size: int, mean: Sequence[float], std: Sequence[float], generator: torch.Generator
) -> Tensor:
    return view(x, draw(kind, len(x), x.shape[-1], generator), size, mean, std)


@pytest.mark.parametrize("size", [16, 40, 56])
def test_crops_equal_torchvision(size: int) -> None:
    x, boxes = images(24, 40), random_boxes(24, 40, generator(1))
    ours = resized_crop(x, boxes, torch.zeros(24, dtype=torch.bool), size, **GREY_LEVELS)
    for i in range(24):
        box = (int(field[i]) for field in boxes)
        theirs = v2.functional.resized_crop(x[i].float(), *box, size=[size, size], antialias=True)
        torch.testing.assert_close(ours[i], theirs, atol=0.01, rtol=0)


@pytest.mark.parametrize("size", [64, 96])
def test_large_crops_equal_torchvisions_of_uint8_images(size: int) -> None:
    x, boxes = images(12, 80), random_boxes(12, 80, generator(1))
    mirrored = random_flips(12, generator(2))
    ours = resized_crop(x, boxes, mirrored, size, **GREY_LEVELS)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    for i in range(12):
        box = (int(field[i]) for field in boxes)
        theirs = v2.functional.resized_crop(x[i], *box, size=[size, size], antialias=True)
        theirs = theirs.flip(-1) if mirrored[i] else theirs
        assert (ours[i] - theirs.float()).abs().max() <= 1


def test_large_and_small_crops_are_made_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    x, boxes, mirrored = images(12, 80), random_boxes(12, 80, generator(1)), random_flips(12, generator(2))
    one_by_one = resized_crop(x, boxes, mirrored, 64, **GREY_LEVELS)
    monkeypatch.setattr(augmentation, "ONE_BY_ONE", 1000)
    error = (resized_crop(x, boxes, mirrored, 64, **GREY_LEVELS) - one_by_one).abs()
    assert error.max() <= 1.1 and error.mean() <= 0.35


def test_boxes_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    n, crop = 3000, v2.RandomResizedCrop(32)
    drawn = [crop.make_params([torch.empty(3, 64, 64)]) for _ in range(n)]
    theirs = torch.tensor([[d["top"], d["left"], d["height"], d["width"]] for d in drawn]).float()
    ours = torch.stack(random_boxes(n, 64, generator())).T.float()
    for column in range(4):
        gap = quantiles(ours[:, column]) - quantiles(theirs[:, column])
        assert gap.abs().max() <= 3  # pixels; the standard error is below one
    correlation = torch.corrcoef(ours.T) - torch.corrcoef(theirs.T)
    assert correlation.abs().max() < 0.1


def quantiles(x: Tensor) -> Tensor:
    return x.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]))


def test_boxes_that_never_fit_fall_back_to_the_centre() -> None:
    boxes = random_boxes(5, 60, generator(), scale=(1.0, 1.0), ratio=(2.0, 2.0))
    assert torch.stack(boxes).T.tolist() == [[15, 0, 30, 60]] * 5


def test_boxes_lie_within_the_image_and_reach_its_edges() -> None:
    top, left, height, width = random_boxes(5000, 8, generator())
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() == 8 and (left + width).max() == 8


def test_mirroring_is_per_image() -> None:
    x, whole = images(2, 8), torch.tensor([0, 0])
    boxes = Boxes(whole, whole, whole + 8, whole + 8)
    out = resized_crop(x, boxes, torch.tensor([True, False]), 8, **GREY_LEVELS)
    torch.testing.assert_close(out[0], x[0].flip(-1).float())
    torch.testing.assert_close(out[1], x[1].float())


def test_none_is_the_normalised_centre() -> None:
    x = images(3, 10)
    out = augment(x, "none", 6, MEAN, STD, generator())
    theirs = v2.functional.normalize(x[:, :, 2:8, 2:8].float() / 255, list(MEAN), list(STD))
    torch.testing.assert_close(out, theirs)
    torch.testing.assert_close(normalise(x[:, :, 2:8, 2:8], MEAN, STD), theirs)


def test_flip_mirrors_about_half() -> None:
    x = images(200, 6)
    out = augment(x, "flip", 6, **GREY_LEVELS, generator=generator())
    mirrored = (out == x.flip(-1)).flatten(1).all(dim=1)
    assert torch.equal(mirrored, random_flips(200, generator()))
    assert 70 < mirrored.sum() < 130
    assert torch.equal(out[~mirrored], x[~mirrored].float())


@pytest.mark.parametrize("kind", ["none", "flip", "crop"])
def test_output_is_deterministic_float_and_channels_last(kind) -> None:
    x = images(4, 12)
    out = augment(x, kind, 8, MEAN, STD, generator(3))
    assert out.shape == (4, 3, 8, 8) and out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, augment(x, kind, 8, MEAN, STD, generator(3)))


def test_crop_keeps_a_constant_image_constant() -> None:
    x = torch.full((6, 3, 20, 20), 100, dtype=torch.uint8)
    out = augment(x, "crop", 16, MEAN, STD, generator())
    torch.testing.assert_close(out, normalise(x[:, :, :16, :16], MEAN, STD))


def test_unknown_kinds_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="'mixup'"):
        augment(images(1, 8), "mixup", 8, MEAN, STD, generator())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot crop 9 px out of images of 8 px"):
        augment(images(1, 8), "none", 9, MEAN, STD, generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("kind", ["none", "flip", "crop"])
def test_devices_agree(kind) -> None:
    x = images(8, 40)
    here, there = (augment(x.to(d), kind, 32, MEAN, STD, generator()).cpu() for d in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, atol=1e-3, rtol=1e-4)
