"""The definition of "frozen", held against real optimisation steps."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.methods import freeze
from bench.methods.api import Batch, Group, Phase
from bench.models.build import build
from bench.models.model import Model

TINY = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]
CHOICES: dict[str, Callable[[Model], Sequence[Group]]] = {
    "everything": lambda model: model.groups(0.1),
    "last stage and head": lambda model: model.groups(0.1, first=len(model.stages) - 1),
    "head": lambda model: model.groups(0.1, first=len(model.stages)),
    "one stage": lambda model: model.groups(0.1)[2:3],
    "stem": lambda model: model.groups(0.1)[:1],
    "biases": lambda model: [Group([p for n, p in model.named_parameters() if n.endswith("bias")], 0.1)],
}


def make(name: str, **kwargs: float) -> Model:
    torch.manual_seed(0)
    return build(BackboneSpec(name, "random", kwargs=dict(kwargs)), 5, 64)


def batch(size: int = 4) -> Batch:
    y = torch.arange(size) % 5
    return Batch(torch.randn(size, 3, 64, 64), y, nn.functional.one_hot(y, 5).float(), torch.ones(size))


def train(model: Model, phase: Phase, steps: int = 3) -> None:
    freeze.check(model, phase)
    freeze.apply(model, phase)
    groups = [{"params": list(g.params), "lr": g.lr, "weight_decay": 0.1} for g in phase.train]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(phase.loss(model, batch()).values()).backward()
        optimizer.step()


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in (*model.named_parameters(), *model.named_buffers())}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", TINY)
def test_frozen_is_bit_identical_and_the_rest_moves(name: str, choice: str) -> None:
    model = make(name)
    full = Phase("warm", 1, model.groups(0.1))
    train(model, full, 1)  # leaves gradients and running statistics behind, as an earlier phase does
    before = snapshot(model)
    phase = Phase("phase", 1, CHOICES[choice](model))
    train(model, phase)
    trained = {id(parameter) for group in phase.train for parameter in group.params}
    moved = {n for n, t in snapshot(model).items() if not torch.equal(t, before[n])}
    assert {n for n, p in model.named_parameters() if id(p) in trained} == moved & dict(
        model.named_parameters()
    ).keys()
    moving_modules = {n.rpartition(".")[0] for n in moved & dict(model.named_parameters()).keys()}
    assert {n.rpartition(".")[0] for n in moved - dict(model.named_parameters()).keys()} <= moving_modules
    assert all((p.grad is None) == (id(p) not in trained) for p in model.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
@pytest.mark.parametrize("keep", [False, True])
def test_statistics_of_trained_layers(name: str, keep: bool) -> None:
    model = make(name)
    before = snapshot(model)
    train(model, Phase("phase", 1, model.groups(0.1), norm_stats="keep" if keep else "update"))
    changed = [not torch.equal(t, before[n]) for n, t in model.named_buffers()]
    assert not any(changed) if keep else all(changed)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_a_frozen_backbone_is_deterministic(name: str) -> None:
    model = make(name, drop_path_rate=0.5)
    x = batch().x
    freeze.apply(model, Phase("probe", 1, model.groups(0.1, first=len(model.stages))))
    assert torch.equal(model(x), model(x))
    freeze.apply(model, Phase("full", 1, model.groups(0.1)))
    assert not torch.equal(model(x), model(x))


def modes(net: nn.Module, train: Sequence[nn.Parameter], norm_stats: str = "update") -> dict[str, bool]:
    freeze.apply(net, Phase("phase", 1, [Group(train, 0.1)], norm_stats=norm_stats))  # type: ignore[arg-type]
    return {name: module.training for name, module in net.named_modules()}


def small(affine: bool = True) -> nn.Sequential:
    block = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=affine), nn.Dropout())
    return nn.Sequential(block, nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Dropout()))


def test_modes() -> None:
    net = small()
    on = {name for name, mode in modes(net, list(net[1].parameters())).items() if mode}
    assert on == {"", "1", "1.0", "1.1", "1.2"}
    on = {name for name, mode in modes(net, list(net[0][0].parameters())).items() if mode}
    assert on == {"", "0", "0.0", "0.2"}
    on = {name for name, mode in modes(net, list(net[0].parameters()), "keep").items() if mode}
    assert on == {"", "0", "0.0", "0.2"}
    assert not any(modes(net, []).values())


def test_normalisation_without_parameters() -> None:
    net = small(affine=False)
    assert modes(net, list(net[0].parameters()))["0.1"]
    assert not modes(net, [net[0][0].bias])["0.1"]
    assert not modes(net, list(net[1].parameters()))["0.1"]


def test_phases_undo_each_other() -> None:
    net = small()
    start = modes(net, list(net.parameters()))
    assert all(start.values())
    modes(net, [])
    assert modes(net, list(net.parameters())) == start
    assert all(parameter.requires_grad for parameter in net.parameters())


def wrong(groups: Callable[[nn.Sequential], Sequence[Group]], message: str) -> None:
    net = small()
    with pytest.raises(UserError, match=message):
        freeze.check(net, Phase("first", 1, groups(net)))


def test_nothing_to_train() -> None:
    wrong(lambda net: [], "phase 'first': the strategy trains nothing")
    wrong(lambda net: [Group([], 0.1)], "the strategy trains nothing")


def test_a_parameter_twice() -> None:
    def groups(net: nn.Sequential) -> Sequence[Group]:
        return [Group(list(net.parameters()), 0.1, name="a"), Group([net[1][0].bias], 0.1, name="b")]

    wrong(groups, "1.0.bias is listed twice, in groups 'a' and 'b'")


def test_a_strange_parameter() -> None:
    wrong(
        lambda net: [Group([nn.Parameter(torch.zeros(2))], 0.1)],
        r"parameter 0 of shape \(2,\) is not the model's",
    )


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_rates(value: float) -> None:
    wrong(lambda net: [Group(list(net.parameters()), value)], "learning rate is")
    wrong(lambda net: [Group(list(net.parameters()), 0.1, value)], "weight decay is")


@pytest.mark.parametrize("depth", [0, 2, None])
def test_dropout_at_a_vits_root_belongs_to_what_follows_it(depth: int | None) -> None:
    model = make("test_vit", pos_drop_rate=0.5, drop_rate=0.5)
    first = len(model.stages) if depth is None else depth
    freeze.apply(model, Phase("p", 1, model.groups(0.1, first=first)))
    assert model.net.pos_drop.training == (depth == 0), "pos_drop acts on the frozen blocks' input"
    assert model.net.head_drop.training
