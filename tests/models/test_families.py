"""What strategies rely on, on every family that timm has: logits are what the classifier makes of the features.

The ordinary test takes the special ones: several classifiers, convolutions, normalisation within. The long one takes the
smallest network of every class of network in every file of timm.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import timm
import torch
from timm.models import _registry

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models import unusable, usable
from bench.models.build import build
from bench.models.classifiers import Joint, LinearMap
from bench.models.model import Model
from bench.models.stages import classifier_names
from tests.support.families import LARGE, SMALLEST

CLASSES = 13  # no network has a layer so wide
TINY_DEIT = {"depth": 2, "embed_dim": 48, "num_heads": 2}
SPECIAL: dict[str, tuple[int, dict[str, Any]]] = {
    "deit_tiny_distilled_patch16_224": (32, TINY_DEIT),
    "pit_ti_distilled_224": (64, {}),
    "crossvit_tiny_240": (240, {"depth": [[1, 1, 0], [1, 1, 0], [1, 1, 0]]}),
    "swiftformer_xs": (64, {}),
    "efficientformer_l1": (224, {}),
    "efficientformerv2_s0": (64, {}),
    "levit_128s": (64, {}),
    "repvit_m1": (64, {"distillation": True}),
    "repvit_m0_9": (64, {}),
    "dla46x_c": (64, {}),
    "dpn48b": (64, {}),
    "resnetv2_18": (64, {}),
    "sequencer2d_s": (224, {"layers": [1, 1, 1, 1]}),
    "poolformerv2_s12": (64, {}),
    "test_resnet": (64, {"global_pool": "catavgmax"}),
    "test_vit3": (64, {}),
    "test_convnext": (64, {}),
    "test_efficientnet": (64, {}),
}
"""Name -> pixels and arguments; these make some of them smaller."""

LINEAR = [
    "deit_tiny_distilled_patch16_224",
    "pit_ti_distilled_224",
    "crossvit_tiny_240",
    "swiftformer_xs",
    "dla46x_c",
    "resnetv2_18",
    "test_resnet",
]

REPLACED = [
    "deit_tiny_distilled_patch16_224",
    "repvit_m1",
    "dla46x_c",
    "resnetv2_18",
    "test_resnet",
    "test_vit3",
    "test_convnext",
]
"""Several classifiers, behind norms or not; a convolution; none of these."""


def make(name: str, size: int | None = None, kwargs: dict[str, Any] | None = None) -> Model:
    torch.manual_seed(0)
    return build(BackboneSpec(name, "random", kwargs=kwargs or {}, label=name), CLASSES, size)


def special(name: str) -> Model:
    """A copy: copying a network takes a fraction of the time of drawing its weights."""
    return copy.deepcopy(_special(name))


@cache
def _special(name: str) -> Model:
    return make(name, *SPECIAL[name])


def images(model: Model, n: int = 3) -> torch.Tensor:
    size = model.image_size
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def check_all(model: Model) -> None:
    """Every parameter and buffer in one part; nothing below the head depends on the classes; features make the logits."""
    parts = (*model.stages, model.head)
    owned = [name for part in parts for name in (*part.param_names, *part.buffer_names)]
    tensors = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
    assert sorted(owned) == sorted(tensors)
    head = {*model.head.param_names, *model.head.buffer_names}
    assert head == {f"net.{name}" for name in classifier_names(model.net)}
    assert usable.refusal(model) == ""
    assert model.training and all(m.training for m in model.modules())
    shapes = {name: p.shape for name, p in model.named_parameters()}
    x = images(model, 2)
    found = model.eval_output(x)
    assert found.logits.shape == (2, CLASSES)
    if not model.beyond_features:
        assert found.features.shape == (2, model.feature_dim)
        with model.in_eval_mode(), torch.no_grad():
            logits = model.classifier(found.features)
        torch.testing.assert_close(logits, found.logits, atol=1e-4, rtol=1e-3)
    assert all(CLASSES not in shape[:1] for name, shape in shapes.items() if name not in head)


@pytest.mark.parametrize("name", SPECIAL)
def test_features_make_the_logits(name: str) -> None:
    check_all(special(name))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SMALLEST)
def test_features_make_the_logits_in_every_family(name: str) -> None:
    check_all(make(name, LARGE.get(name)))


def test_no_family_is_left_out() -> None:
    """A file of timm that is new here is to be added to the table, or to the networks that cannot be used."""
    of_module: dict[str, set[str]] = {}
    for name in timm.list_models():
        of_module.setdefault(_registry._model_to_module[name], set()).add(name)
    tried = {_registry._model_to_module[name] for name in SMALLEST}
    left = {m for m, names in of_module.items() if m not in tried and not all(map(unusable.reason, names))}
    assert not left


@pytest.mark.parametrize("name", LINEAR)
def test_several_classifiers_are_one_linear_map(name: str) -> None:
    model = special(name)
    found = model.linear("logreg")
    x = images(model)
    features = model.eval_output(x).features
    torch.testing.assert_close(
        features @ found.weight.T + found.bias, model.eval_output(x).logits, atol=1e-4, rtol=1e-3
    )
    weight = torch.randn(CLASSES, model.feature_dim, generator=torch.Generator().manual_seed(2))
    bias = torch.randn(CLASSES, generator=torch.Generator().manual_seed(3))
    found.write(weight, bias)
    torch.testing.assert_close(model.eval_output(x).logits, features @ weight.T + bias, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.weight, weight)
    torch.testing.assert_close(found.bias, bias)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in REPLACED else pytest.mark.long)
        for name in SPECIAL
        if name != "levit_128s"
    ],
)
def test_a_head_in_the_classifiers_place(name: str) -> None:
    model = special(name)
    with torch.no_grad():
        model.replace_head(lambda head: hidden(model.features_taken(head)))
    check_all(model)
    outputs = [h for h in model.classifiers if not isinstance(h, torch.nn.Sequential)]
    assert not outputs, "one of the classifiers is still the old one"


def hidden(features: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(features, 7), torch.nn.ReLU(), torch.nn.Linear(7, CLASSES))


@pytest.mark.parametrize("name", SPECIAL)
def test_names_are_timms(name: str) -> None:
    """A kept checkpoint can be loaded into timm's network by name."""
    size, kwargs = SPECIAL[name]
    sized = {"img_size": size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=CLASSES, **kwargs, **sized)
    model = special(name)
    assert {k.removeprefix("net.") for k in model.state_dict()} == theirs.state_dict().keys()


def test_an_auxiliary_classifier_is_head_and_strategies_that_need_one_classifier_are_refused() -> None:
    model = make("volo_d1_224", 64)
    check_all(model)
    assert {"net.aux_head.weight", "net.head.weight"} <= {*model.head.param_names}
    assert not any("aux_head" in name for stage in model.stages for name in stage.param_names)
    assert not any("aux_head" in name for name in model.pretrained)
    for need in (lambda: model.classifier, lambda: model.linear("logreg"), model.source_head):
        with pytest.raises(UserError, match=r"VOLO .* aux_head .*use_aux_head: false"):
            need()
    check_all(make("volo_d1_224", 64, {"use_aux_head": False}))  # as the message advises


@pytest.mark.parametrize(
    ("name", "size", "kwargs", "says"),
    [
        ("test_resnet", None, {"global_pool": ""}, "fails in eval mode"),
        ("test_vit", 64, {"global_pool": ""}, r"gives \[2, 17, 13\] instead of logits \[2, 13\]"),
        ("inception_v3", None, {"aux_logits": True}, "gives a tuple instead of logits"),
    ],
)
def test_what_is_no_classifier_is_refused(
    name: str, size: int | None, kwargs: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.kwargs.check", lambda name, kwargs: None)
    model = make(name, size, kwargs)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(UserError, match=rf"backbone 'mine' cannot be used: .*{says}"):
        usable.check(model, "mine")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random) and all(m.training for m in model.modules())


def test_what_gives_a_pair_only_while_it_trains_is_refused() -> None:
    model = special("deit_tiny_distilled_patch16_224")
    model.net.set_distilled_training(True)
    assert "in train mode, gives a tuple instead of logits" in usable.refusal(model)


@pytest.mark.parametrize("name", ["efficientvim_m1", "efficientvim_m1_dist"])
def test_what_the_plan_refuses_is_refused_by_the_trial_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=f"{name}.* cannot be used: it weighs several classifiers"):
        make(name, 64)
    monkeypatch.setattr(unusable, "reason", lambda name: "")
    assert "more than what its classifier says" in usable.refusal(make(name, 64))


def test_every_network_that_the_plan_refuses_exists() -> None:
    refused = [name for name in timm.list_models() if unusable.reason(name)]
    assert all(any(unusable.re.fullmatch(p, n) for n in refused) for p in unusable.REASONS)
    assert unusable.reason("efficientvim_m2.in1k") and not unusable.reason("mobilenetv5_300m")
    encoders = [name for name in refused if unusable.reason(name) == unusable.ENCODER]
    for name in encoders:
        module = __import__(f"timm.models.{_registry._model_to_module[name]}", fromlist=["_"])
        classes = [v for k, v in vars(module).items() if k.endswith("Encoder") and isinstance(v, type)]
        assert classes and not any(hasattr(cls, "get_classifier") for cls in classes), name


def test_a_joint_holds_the_networks_own_modules() -> None:
    model = special("crossvit_tiny_240")
    joint = model.classifier
    assert isinstance(joint, Joint) and not joint.shared
    assert {id(p) for p in joint.parameters()} == {id(p) for p in model.stage_parameters(model.head)}
    assert LinearMap.of([torch.nn.Linear(3, 2, bias=False)], True) is None
    assert LinearMap.of([torch.nn.Conv2d(3, 2, 3)], True) is None
