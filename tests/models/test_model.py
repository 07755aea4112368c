import copy
import pickle

import pytest
import torch

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models.build import build
from bench.models.model import Model

TINY = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]


def make(name: str = "test_resnet", seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return build(BackboneSpec(name, "random"), 5, 64)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    "name", [*TINY, "test_maxvit", "test_coatnet", "test_mambaout", "deit_tiny_distilled_patch16_224"]
)
def test_features_are_what_the_classifier_takes(name: str) -> None:
    model = build(BackboneSpec(name, "random"), 5).eval()
    classifier = model.net.get_classifier()
    x = torch.randn(2, 3, model.image_size, model.image_size)
    with torch.no_grad():
        features, logits = model.observe(x).features, model(x)
    assert features.ndim == 2
    if isinstance(classifier, torch.nn.Module):
        torch.testing.assert_close(classifier(features), logits)


@pytest.mark.parametrize("name", TINY)
def test_groups(name: str) -> None:
    model = make(name)
    n = len(model.stages)
    groups = model.groups(0.1, first=n - 2)
    assert [(g.name, g.lr) for g in groups] == [(f"stage{n - 2}", 0.1), (f"stage{n - 1}", 0.1), ("head", 0.1)]
    assert [g.is_head for g in groups] == [False, False, True]
    everything = [id(p) for g in model.groups(0.1) for p in g.params]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    assert [(g.name, g.lr) for g in model.groups(0.1, first=n)] == [("head", 0.1)]


@pytest.mark.parametrize("first", [-1, 99])
def test_no_such_stage(first: int) -> None:
    with pytest.raises(
        UserError, match=rf"first stage is {first}, but the model has 5 stages \(stage0..stage4\)"
    ):
        make().groups(0.1, first)
    with pytest.raises(UserError, match="first stage"):
        make().reinitialise(first)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("first", [0, 2])
def test_reinitialise(name: str, first: int) -> None:
    model = make(name)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(3)
    objects = [id(parameter) for parameter in model.parameters()]
    torch.manual_seed(1)
    model.reinitialise(first)
    assert objects == [id(parameter) for parameter in model.parameters()]
    fresh = weights(make(name, seed=1))
    kept = {n for s in model.stages[:first] for n in (*s.param_names, *s.buffer_names)}
    for tensor_name, tensor in model.state_dict().items():
        assert (tensor == 3).all() if tensor_name in kept else torch.equal(tensor, fresh[tensor_name])


def test_reinitialise_follows_the_seed() -> None:
    results = []
    for seed in (1, 1, 2):
        model = make()
        torch.manual_seed(seed)
        model.reinitialise(1)
        results.append(model.net.layer2[0].conv1.weight.detach().clone())
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_pretrained_is_the_backbone_at_the_start() -> None:
    model = make()
    backbone = {name for stage in model.stages for name in (*stage.param_names, *stage.buffer_names)}
    start = weights(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    model.reinitialise()
    assert set(model.pretrained) == backbone
    assert all(torch.equal(tensor, start[name]) for name, tensor in model.pretrained.items())
    assert not any(tensor.requires_grad for tensor in model.pretrained.values())


def test_pretrained_follows_the_model_but_is_not_part_of_it() -> None:
    model = make()
    assert len(model.state_dict()) == len(model.net.state_dict())
    half = copy.deepcopy(model).to(torch.float64, memory_format=torch.channels_last)
    dtypes = {tensor.dtype for tensor in half.pretrained.values()}
    assert dtypes == {torch.float64, torch.int64}, "counters of batches stay integers"
    assert half.pretrained["net.layer1.0.conv1.weight"].is_contiguous(memory_format=torch.channels_last)
    assert {tensor.dtype for tensor in model.pretrained.values()} == {torch.float32, torch.int64}


def test_copies() -> None:
    model = make()
    twin = copy.deepcopy(model)
    assert twin.pretrained is model.pretrained
    assert twin.net.conv1[0].weight is not model.net.conv1[0].weight
    assert weights(pickle.loads(pickle.dumps(model))).keys() == weights(model).keys()
    twin.reinitialise()
