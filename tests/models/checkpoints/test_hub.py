"""timm's own weights go through timm's code to the point where they are loaded; the hub alone is replaced."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models import _builder
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models.build import build
from bench.models.checkpoints.hub import withheld


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """What the hub has; empty until a test fills it."""
    state: dict[str, Tensor] = {}
    for fetch in ("load_state_dict_from_hf", "load_state_dict_from_url"):
        monkeypatch.setattr(_builder, fetch, lambda *args, **kwargs: dict(state))
    return state


def fill(hub: dict[str, Tensor], name: str, **kwargs: Any) -> None:
    torch.manual_seed(1)
    hub.update({n: t + 0.02 for n, t in timm.create_model(name, **kwargs).state_dict().items()})


def pretrained(name: str, size: int | None = None, seed: int = 0, **fields: Any) -> Any:
    torch.manual_seed(seed)
    return build(BackboneSpec(name, "pretrained", label="mine", **fields), 5, size).eval()


def test_at_the_native_size_all_is_loaded(hub: dict[str, Tensor]) -> None:
    fill(hub, "test_vit")
    model = pretrained("test_vit")
    backbone = model.net.state_dict()
    assert all(torch.equal(backbone[name], hub[name]) for name in backbone if not name.startswith("head"))
    assert not torch.equal(model.net.head.weight[0], hub["head.weight"][0])
    report = model.load_report
    assert (report.source, report.backbone_share, report.initial, report.resized) == (
        "timm's weights",
        1.0,
        [],
        [],
    )
    assert model.source_head()(torch.zeros(1, 64)).shape == (1, 1000)


def test_at_another_size_timm_resizes_what_it_can(hub: dict[str, Tensor]) -> None:
    fill(hub, "test_vit")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        a, b = (pretrained("test_vit", 64, seed).observe(x).features for seed in (0, 1))
    assert torch.equal(a, b)
    assert any("resampled by timm" in note for note in pretrained("test_vit", 64).load_report.notes())


def test_at_another_size_the_rest_is_refused_by_name_or_allowed(hub: dict[str, Tensor]) -> None:
    fill(hub, "pit_ti_224")
    with pytest.raises(
        UserError, match=r"backbone 'mine': timm's weights: 1 of .*pos_embed .*fit at image_size 224"
    ):
        pretrained("pit_ti_224", 64)
    report = pretrained("pit_ti_224", 64, allow_missing=("pos_embed",)).load_report
    assert report.initial == ["pos_embed"] and report.backbone_share < 1
    assert any("keep their initial values: pos_embed" in note for note in report.notes())
    assert pretrained("pit_ti_224").load_report.network.complete


def test_what_kwargs_add_is_not_lost_without_a_word(hub: dict[str, Tensor]) -> None:
    """timm loads such weights without complaint, for the number of classes is another too."""
    fill(hub, "test_vit")
    del hub["norm.weight"], hub["norm.bias"]
    with pytest.raises(UserError, match=r"timm's weights: 2 of .*norm\.weight"):
        pretrained("test_vit")


def test_loading_is_as_before_once_weights_were_withheld() -> None:
    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(RuntimeError), withheld() as seen:
        net.load_state_dict(other.state_dict())
        assert list(seen[net]) == ["weight", "bias"] and not torch.equal(net.weight, other.weight)
        raise RuntimeError
    net.load_state_dict(other.state_dict())
    assert torch.equal(net.weight, other.weight)
