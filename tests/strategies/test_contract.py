"""What every strategy must keep to, on four families of networks."""

from __future__ import annotations

import pytest
import torch

import strategies
from bench import compose
from bench.api import Phase
from bench.errors import UserError
from tests.strategies.samples import NETWORKS, composed, make_model, make_task, make_trainer

FREEZE = [name for name in strategies.TABLE if strategies.get(name).family in ("freeze", "method")]
TRANSFORMS = [name for name in strategies.TABLE if strategies.get(name).family in ("lr", "regularize")]
RATES = {name: {"lr": 3e-3} for name in FREEZE}
RATES["staged"] |= {"probe_lr": 1e-2}


def expressions() -> list[str]:
    """Every freezing schedule alone, and every transform on the full fine-tune."""
    return FREEZE + [f"full + {name}" for name in TRANSFORMS]


def make(expression: str) -> compose.Composed:
    return composed(expression, **{k: v for k, v in RATES.items() if k in expression.split(" + ")})


def trained_names(model: torch.nn.Module, phases: list[Phase]) -> set[str]:
    ids = {id(p) for phase in phases for group in phase.train for p in group.params}
    return {n for n, p in model.named_parameters() if id(p) in ids}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("expression", expressions())
def test_frozen_stays_bit_identical_and_the_rest_learns(expression: str, network: str) -> None:
    model, task = make_model(network), make_task()
    trainer, log = make_trainer(model, task)
    strategy = make(expression)
    before: dict[str, torch.Tensor] = {}
    phases: list[Phase] = []
    for phase in strategy.phases(model, task):
        state = {k: v.clone() for k, v in model.state_dict().items()}
        before = before or state
        trainer.fit(phase)
        phases.append(phase)
        names = trained_names(model, [phase])
        frozen_modules = {
            n for n, m in model.named_modules() if not any(p.requires_grad for p in m.parameters())
        }
        for name, value in model.state_dict().items():
            is_buffer = name not in dict(model.named_parameters())
            frozen = name.rpartition(".")[0] in frozen_modules if is_buffer else name not in names
            if frozen:
                assert torch.equal(value, state[name]), f"{name} is frozen in phase {phase.name}, but changed"
    after = model.state_dict()
    moved = {n for n in trained_names(model, phases) if not torch.equal(after[n], before[n])}
    assert moved == trained_names(model, phases), "a parameter that is in a group never moved"
    assert sum(p.epochs for p in phases) == task.epochs, "the strategy does not spend its epoch budget"
    ce = [
        epoch.get("train/loss_ce", epoch["train/loss"]) for epoch in log
    ]  # a penalty on movement starts at zero
    assert ce[-1] < ce[0], "the loss does not fall"


@pytest.mark.parametrize("expression", expressions())
def test_same_seed_same_weights(expression: str) -> None:
    results = []
    for _ in range(2):
        model, task = make_model("test_efficientnet"), make_task(epochs=2)
        torch.manual_seed(3)
        trainer, _ = make_trainer(model, task)
        trainer.run(make(expression))
        results.append(model.state_dict())
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


@pytest.mark.parametrize("freeze", FREEZE)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_composes_or_is_refused_with_a_reason(freeze: str, transform: str) -> None:
    try:
        strategy = composed(f"{freeze} + {transform}")
    except compose.Meaningless as refused:
        assert transform in refused.label and len(refused.reason) > 20
        return
    model, task = make_model("test_resnet"), make_task(epochs=2)
    trainer, log = make_trainer(model, task)
    trainer.run(strategy)
    assert all(torch.isfinite(torch.tensor(m["train/loss"])) for m in log)


@pytest.mark.parametrize(
    ("expression", "knobs", "says"),
    [
        ("last_stages", {"k": 0}, "linear_probe"),
        ("last_stages", {"k": 99}, "stages 1.."),
        ("freeze_first", {"k": 99}, "stages 1.."),
        ("staged", {"unfreeze": 99}, "stages"),
    ],
)
def test_knobs_that_do_not_fit_the_network_are_refused(
    expression: str, knobs: dict[str, float], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        list(composed(expression, **{expression: knobs}).phases(make_model("test_resnet"), make_task()))


def test_every_part_says_what_it_is() -> None:
    for name in strategies.TABLE:
        part = strategies.get(name)
        assert len(part.summary()) > 20, name
        module = __import__(part.__module__, fromlist=["_"])
        assert module.__doc__ and part.__doc__, name
        for knob in part.knobs():
            if knob.range and knob.range.low is not None:
                assert knob.range.low <= knob.default <= knob.range.high, (
                    f"{name}.{knob.name}: default out of range"
                )
