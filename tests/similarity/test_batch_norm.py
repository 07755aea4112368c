"""The distance of images from what a network's BatchNorm layers saw of its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.schema import Measure
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data.evaluation import evaluation_batches
from bench.data.images import ImageSet
from bench.models.build import build
from bench.models.model import Model
from bench.similarity import batch_norm
from bench.similarity.batch_norm import distance
from bench.similarity.measure import measure_dataset
from bench.storage.places import Places
from tests.support.strategy_samples import make_model


def images(seed: int, darkest: int = 0, n: int = 64) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(darkest, darkest + 100, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return ImageSet(x, torch.arange(n) % 2)


def seen(model: Model, source: ImageSet) -> Model:
    """The network after its BatchNorm layers have seen the source, all of it in one batch."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model.net(next(iter(evaluation_batches(source, model, len(source)))))
    return model.eval()


@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet"])
def test_the_source_is_near_and_other_images_are_farther_the_more_they_differ(network: str) -> None:
    model = seen(make_model(network), images(0))
    itself, alike, darker, darkest = (
        distance(model, x) for x in (images(0), images(1), images(1, 50), images(1, 150))
    )
    assert itself == pytest.approx(0, abs=1e-3)  # a running variance is that of a sample: n - 1
    assert itself <= alike < 0.1 * darker < darker < darkest


def test_one_layer_by_hand_and_in_batches() -> None:
    """Against torch's own moments of the same inputs, and the same whatever the batches."""
    model = seen(make_model("test_resnet"), images(0))
    layer = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    taken: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, args: taken.append(args[0].double()))
    other = images(2, 80, n=200)  # two batches of evaluation
    moments = batch_norm._Moments()
    watch = layer.register_forward_pre_hook(moments.add)
    with torch.no_grad():
        for x in evaluation_batches(other, model, 128):
            model.net(x)
    handle.remove()
    watch.remove()
    x = torch.cat(taken).transpose(0, 1).flatten(1)
    assert layer.running_mean is not None and layer.running_var is not None and len(taken) == 2
    spread = (layer.running_var.double() + layer.eps).sqrt()
    expected = ((x.mean(1) - layer.running_mean.double()) / spread) ** 2 + (
        x.std(1, correction=0) / spread - 1
    ) ** 2
    assert batch_norm._layer(layer, moments) == pytest.approx(float(expected.mean()), rel=1e-6)


def test_nothing_of_the_network_is_changed() -> None:
    model = seen(make_model("test_resnet"), images(0))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    distance(model, images(1))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_pre_hooks for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_a_network_without_batchnorm_says_so() -> None:
    with pytest.raises(ValueError, match="no BatchNorm"):
        distance(make_model("test_vit"), images(0))


@pytest.mark.parametrize(
    ("network", "why"), [("test_vit", batch_norm.NO_SOURCE), ("test_resnet", batch_norm.NO_SOURCE)]
)
def test_random_weights_have_seen_no_source(network: str, why: str, tmp_path: Path) -> None:
    dataset = DatasetSpec("synthetic/fine", {"pool_per_class": 6, "test_per_class": 2})
    (entry,) = measure_dataset(
        dataset, {5: 5}, BackboneSpec(network, "random", label="x"), 0, 32, Places(tmp_path, tmp_path)
    )
    assert entry.missing[Measure.BATCH_NORM] == why and Measure.BATCH_NORM not in entry.values


def test_photographs_are_nearer_to_an_imagenet_network_than_handwriting(real_data: Path) -> None:
    """By its weights alone: clothes before sketches, and these before digits of Kannada. 100 images of each."""
    weights = real_data / "weights" / "mobilenetv2_100.pth"
    spec = BackboneSpec(
        *("mobilenetv2_100", "checkpoint", str(weights)),
        kwargs={"pad_type": "same"},
        data_config={"mean": [0.5] * 3, "std": [0.5] * 3},
    )
    model = build(spec, 3, 64, Path(".")).eval()
    found = [
        distance(model, pictures(real_data / name / "train"))
        for name in ("clothing10", "targets/pacs_sketch", "targets/kannada_digits")
    ]
    assert found[0] < 0.7 * found[1] < found[1] < found[2]


def pictures(folder: Path) -> ImageSet:
    """Every so many-th image of a folder of classes, of 64 px."""
    files = sorted(path for path in folder.glob("*/*") if path.suffix in (".jpg", ".png"))
    read = [Image.open(path).convert("RGB").resize((64, 64)) for path in files[:: len(files) // 100][:100]]
    x = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in read])
    return ImageSet(x, torch.zeros(len(x), dtype=torch.long))
