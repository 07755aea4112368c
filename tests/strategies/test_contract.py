"""What every strategy must keep to, on four families of networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import strategies
from bench.core.errors import UserError
from bench.methods.api import Phase, replace
from bench.models.model import Model
from bench.planning import compose
from tests.support.strategy_samples import (
    DISTILLED,
    NETWORKS,
    STRATEGIES,
    TRANSFORMS,
    composed,
    gentle,
    make_model,
    make_task,
    make_trainer,
)

EXPRESSIONS = STRATEGIES + [f"full + {name}" for name in TRANSFORMS]
"""Every strategy alone, and every transform on the full fine-tune."""

SMALLEST = 1e-6
"""A rate below it (auto_rgn's, in proportion to gradients that a layer scale of 1e-6 makes tiny) moves no float32."""

IMPOSSIBLE: dict[tuple[str, str], str] = {
    ("full + stoch_norm", "test_convnext"): "no BatchNorm",
    ("full + stoch_norm", "test_vit"): "no BatchNorm",
    ("full + stoch_norm", DISTILLED): "no BatchNorm",
}
"""(expression, network) -> what the refusal says, where the method does not allow the network."""


def pairs() -> list[Any]:
    """Every expression on every network; in the ordinary tests on one, in turn, and where it is refused."""
    networks = [*NETWORKS, DISTILLED]

    def param(i: int, expression: str, network: str) -> Any:
        ordinary = network == networks[i % len(networks)] or (expression, network) in IMPOSSIBLE
        return pytest.param(expression, network, marks=() if ordinary else pytest.mark.long)

    return [param(i, e, network) for i, e in enumerate(EXPRESSIONS) for network in networks]


def state_of(model: Model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def trained_names(model: Model, phase: Phase) -> set[str]:
    ids = {id(p) for p in phase.params}
    return {n for n, p in model.named_parameters() if id(p) in ids}


def frozen_names(model: Model, trained: set[str]) -> set[str]:
    """Parameters in no group, and the buffers of modules that hold no trained parameter."""
    params = dict(model.named_parameters())
    still = {n for n, m in model.named_modules() if not any(p.requires_grad for p in m.parameters())}
    buffers = {k for k in model.state_dict() if k not in params and k.rpartition(".")[0] in still}
    return (params.keys() - trained) | buffers


@pytest.mark.parametrize(("expression", "network"), pairs())
def test_frozen_stays_bit_identical_and_the_rest_learns(expression: str, network: str) -> None:
    model, task = make_model(network), make_task()
    trainer, log = make_trainer(model, task)
    strategy = gentle(expression)
    if says := IMPOSSIBLE.get((expression, network)):
        with pytest.raises(UserError, match=says):
            next(strategy.phases(model, task))
        return
    epochs, moved, meant = 0, set(), set()
    for phase in strategy.phases(model, task):
        before, trained = state_of(model), trained_names(model, phase)
        trainer.fit(phase)
        after = model.state_dict()
        for name in frozen_names(model, trained):
            assert torch.equal(after[name], before[name]), f"{name} is frozen in {phase.name}, but changed"
        moved |= {name for name in trained if not torch.equal(after[name], before[name])}
        meant |= trained_names(model, replace(phase, train=[g for g in phase.train if g.lr > SMALLEST]))
        epochs += phase.epochs * (not phase.preparation)
    strategy.finish(model)
    assert moved >= meant, f"in a group, but never moved: {sorted(meant - moved)}"
    assert epochs == task.epochs, "the strategy does not spend its epoch budget"
    # a penalty on movement starts at zero, and a mixture of images is harder than an image
    ce = [epoch.get("train/loss_ce", epoch.get("train/loss")) for epoch in log]
    later = ce[len(ce) // 2 :]  # more than one: how hard an epoch is varies where images are mixed at random
    assert len(ce) == 1 or sum(later) / len(later) < ce[0], "the loss does not fall"
    assert torch.isfinite(trainer.predict(task.val)).all()


@pytest.mark.parametrize(
    "expression",
    [pytest.param(e, marks=() if i % 2 == 0 else pytest.mark.long) for i, e in enumerate(EXPRESSIONS)],
)
def test_same_seed_same_weights_also_after_an_interrupted_run(expression: str) -> None:
    """The second of three runs in this process is interrupted: a long-lived worker must leave nothing behind."""
    results = []
    for interrupt in (False, True, False):
        model, task = make_model("test_efficientnet"), make_task(images=24, epochs=2)
        torch.manual_seed(3)
        trainer, log = make_trainer(model, task)
        if interrupt:
            trainer.record = _interrupt
            with pytest.raises(KeyboardInterrupt):
                trainer.run(gentle(expression))
        else:
            trainer.run(gentle(expression))
            results.append((state_of(model), log))
    (first, first_log), (second, second_log) = results
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    assert first_log == second_log


def _interrupt(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_composes_or_is_refused_with_a_reason(strategy: str) -> None:
    """Each transform on each strategy is refused with a reason, or trains: a sixth of those, another one of each strategy."""
    possible = [transform for transform in TRANSFORMS if composes(strategy, transform)]
    for transform in possible[STRATEGIES.index(strategy) % 6 :: 6]:
        assert_trains(f"{strategy} + {transform}")


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_everything_that_composes_trains(strategy: str) -> None:
    for transform in TRANSFORMS:
        if composes(strategy, transform):
            assert_trains(f"{strategy} + {transform}")


def composes(strategy: str, transform: str) -> bool:
    try:
        composed(f"{strategy} + {transform}")
    except compose.Meaningless as refused:
        assert transform in refused.label and len(refused.reason) > 30
        return False
    return True


def assert_trains(expression: str) -> None:
    model, task = make_model("test_resnet"), make_task(images=12, epochs=2)
    trainer, log = make_trainer(model, task)
    trainer.run(gentle(expression))
    assert all(torch.isfinite(torch.tensor(v)) for m in log for v in m.values()), expression


@pytest.mark.parametrize(
    ("expression", "hyperparameters", "says"),
    [
        ("last_stages", {"k": 0}, "linear_probe"),
        ("last_stages", {"k": 99}, "stages 1.."),
        ("freeze_first", {"k": 99}, "stages 1.."),
        ("staged", {"unfreeze": 99}, "stages"),
    ],
)
def test_hyperparameters_that_do_not_fit_the_network_are_refused(
    expression: str, hyperparameters: dict[str, float], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        next(
            composed(expression, **{expression: hyperparameters}).phases(
                make_model("test_resnet"), make_task()
            )
        )


@pytest.mark.parametrize("name", strategies.TABLE)
def test_every_part_has_a_card(name: str) -> None:
    part = strategies.get(name)
    module = __import__(part.__module__, fromlist=["_"])
    assert module.__doc__ and len(part.summary()) > 20
    assert part.when and part.against
    for hyperparameter in part.hyperparameters():
        if hyperparameter.range and hyperparameter.range.low is not None:
            assert hyperparameter.range.low <= hyperparameter.default <= hyperparameter.range.high, (
                f"{hyperparameter.name}: default out of range"
            )
        if hyperparameter.range and hyperparameter.range.choices:
            assert hyperparameter.default in hyperparameter.range.choices, hyperparameter.name
