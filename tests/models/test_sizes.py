"""Checkpoints of one image size, studies at another: what timm resizes is in the network, the rest is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from torch import Tensor

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models.build import build
from bench.models.model import Model
from tests.support.families import LIGHT

SIZES = (64, 96, 128, 160, 192, 256, 320, 384)

RESIZED: list[tuple[str, dict[str, Any]]] = [
    ("test_vit", {}),
    ("test_coatnet", {}),
    ("deit_tiny_patch16_224", {"depth": 2}),
    ("beit_base_patch16_224", {"depth": 2, "embed_dim": 96, "num_heads": 3}),
    ("vit_tiny_patch16_dinov3_qkvb", {"depth": 2}),
    ("test_vit_relpos", {}),
    ("swin_tiny_patch4_window7_224", {"depths": (1, 2, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 2, 3)}),
    ("swinv2_tiny_window8_256", {"depths": (1, 2, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 2, 3)}),
]
"""Small networks whose family timm resizes, or which have nothing of one size."""

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gmlp_ti16_224", {}, r"blocks\.\*\.mlp_channels\.gate\.proj\.weight \(30; 196x196"),
    ("mixer_s32_224", {}, "mlp_tokens.fc1.weight"),
    (
        "pit_ti_224",
        {},
        r"pos_embed \(1x64x27x27 in the checkpoint, 1x64x7x7 in the network\)",
    ),
    ("cait_xxs24_224", {"depth": 2}, "pos_embed"),
    ("hiera_tiny_224", {"stages": (1, 1, 1, 1)}, "pos_embed"),
    ("gcvit_xxtiny", {}, "relative_position_bias_table"),
    ("levit_128s", {"depth": (1, 1, 1)}, "attention_biases"),
]
"""(name, arguments that make it small, what the message names) of families that timm does not resize."""


def checkpoint(name: str, folder: Path, **kwargs: Any) -> str:
    torch.manual_seed(0)
    net = timm.create_model(name, **kwargs)
    with torch.no_grad():  # nothing is as a constructor leaves it: zeros, ones
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    path = folder / f"{name}.pth"
    torch.save(net.state_dict(), path)
    return str(path)


def features(spec: BackboneSpec, size: int, seed: int) -> tuple[Tensor, Model]:
    torch.manual_seed(seed)
    model = build(spec, 5, size).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model.observe(torch.randn(2, 3, size, size, generator=generator)).features, model


def other_size(name: str, **kwargs: Any) -> int | None:
    """The first size, not the native one, at which the network can be built at all."""
    native = timm.get_pretrained_cfg(name).input_size[-1]
    for size in SIZES:
        try:
            if size != native:
                features(BackboneSpec(name, "random", kwargs=kwargs), size, 0)
                return size
        except (UserError, RuntimeError, ValueError, AssertionError, AttributeError):
            continue
    return None


def advice(message: str) -> tuple[list[str], int | None]:
    """The patterns and the image size that a refusal proposes, read as they would be in a study."""
    entry = re.search(r"`(allow_missing: \[.*\])`", message)
    size = re.search(r"They fit at image_size (\d+)", message)
    assert entry, message
    return yaml.safe_load(entry[1])["allow_missing"], int(size[1]) if size else None


def equal_or_refused(name: str, folder: Path, size: int, **kwargs: Any) -> str:
    """ "" where two builds with different seeds are the same network; else the refusal, whose advice was followed."""
    spec = BackboneSpec(name, "checkpoint", checkpoint=checkpoint(name, folder, **kwargs), kwargs=kwargs)
    try:
        (a, model), (b, _) = features(spec, size, 1), features(spec, size, 2)
    except UserError as error:
        patterns, fitting = advice(str(error))
        allowed = BackboneSpec(**{**vars(spec), "allow_missing": tuple(patterns)})
        report = features(allowed, size, 1)[1].load_report
        assert report.initial and any("keep their initial values" in note for note in report.notes())
        assert not report.network.complete and "100.0%" not in str(report.network)
        assert fitting, "a native checkpoint fits at some size"
        assert features(spec, fitting, 1)[1].load_report.network.complete
        return str(error)
    assert torch.equal(a, b), f"features differ by {(a - b).norm() / a.norm():.1%}"
    assert model.load_report.network.complete and model.load_report.backbone_share == 1
    return ""


@pytest.mark.parametrize(("name", "kwargs"), RESIZED)
def test_what_timm_resizes_is_loaded(name: str, kwargs: dict[str, Any], tmp_path: Path) -> None:
    assert equal_or_refused(name, tmp_path, 64, **kwargs) == ""


@pytest.mark.parametrize(("name", "kwargs", "named"), REFUSED)
def test_what_timm_does_not_resize_is_refused(
    name: str, kwargs: dict[str, Any], named: str, tmp_path: Path
) -> None:
    message = equal_or_refused(name, tmp_path, 64, **kwargs)
    assert message.startswith(f"backbone {name!r}: checkpoint ") and re.search(named, message)
    assert "They fit at image_size 224" in message


@pytest.mark.parametrize(("name", "kwargs"), RESIZED)
def test_resized_weights_are_those_of_timms_own_resizing(
    name: str, kwargs: dict[str, Any], tmp_path: Path
) -> None:
    spec = BackboneSpec(name, "checkpoint", checkpoint=checkpoint(name, tmp_path, **kwargs), kwargs=kwargs)
    native = timm.create_model(name, num_classes=5, **kwargs)
    if not hasattr(native, "set_input_size"):
        pytest.skip(f"{name} has no set_input_size")
    native_size = timm.get_pretrained_cfg(name).input_size[-1]
    torch.manual_seed(0)
    model = build(spec, 5, native_size)
    # by itself it would give swins other windows, as wide in relation to the image
    window = {"window_size": int(found[1])} if (found := re.search(r"window(\d+)", name)) else {}
    model.net.set_input_size(img_size=(128, 128), **window)
    x = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        expected = model.eval().observe(x).features
        resized = build(spec, 5, 128).eval().observe(x).features
    assert torch.allclose(resized, expected, atol=1e-5), (
        f"{(resized - expected).norm() / expected.norm():.1%}"
    )


@pytest.fixture
def outcomes() -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    print("\n".join(lines))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LIGHT)
def test_every_family_is_whole_or_refused(name: str, tmp_path: Path, outcomes: list[str]) -> None:
    size = other_size(name)
    if size is None:
        pytest.skip(f"{name} cannot be built at another size")
    message = equal_or_refused(name, tmp_path, size)
    outcomes.append(f"{name} at {size}: {message or 'loaded'}")
