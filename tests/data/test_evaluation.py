"""How images are looked at in evaluation: in one place, by every part of the harness."""

from __future__ import annotations

import re

import pytest
import torch

from bench.data.evaluation import evaluation_batches, evaluation_input
from bench.data.images import ImageSet
from tests.conftest import ROOT
from tests.support.strategy_samples import SIZE, make_model


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (7, 3, SIZE + 5, SIZE + 5), generator=generator).to(torch.uint8)
    return ImageSet(pixels, torch.arange(7)).subset(torch.tensor([4, 0, 6, 2, 1]))


def test_it_is_the_centre_normalised(images: ImageSet) -> None:
    model = make_model("test_resnet")
    found = evaluation_input(images, torch.tensor([2, 0]), model)
    centre = images.x[[2, 0], :, 2 : 2 + SIZE, 2 : 2 + SIZE].float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
    assert torch.allclose(found, (centre - mean) / std, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_batches_hold_all_images_in_their_order(images: ImageSet) -> None:
    model = make_model("test_resnet")
    batches = list(evaluation_batches(images, model, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat(batches), evaluation_input(images, slice(None), model))


def test_nobody_does_it_by_himself() -> None:
    """Views of training images, which may be mirrored or cropped before they are normalised, are the one other place."""
    users = {
        str(path.relative_to(ROOT))
        for folder in ("bench", "strategies")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bnormalise\(", path.read_text())
    }
    assert users == {"bench/data/augment.py", "bench/data/evaluation.py"}
