"""Learning-rate policies and schedules, against torch's schedulers and closed forms, up to the optimiser's own groups."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from bench.methods.api import Phase
from bench.training.optimizers import make_optimizer, set_learning_rates
from tests.support.strategy_samples import TRAIN, composed, first_phase, make_model, make_task, make_trainer

STEPS = 90


def rates(phase: Phase) -> list[float]:
    """Factor of the phase's own schedule at each of STEPS steps."""
    assert phase.schedule
    return [phase.schedule(i / STEPS) for i in range(STEPS)]


def torchs(make: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def schedule(name: str, **hyperparameters: float) -> list[float]:
    return rates(
        first_phase(
            f"full + {name}", make_model("test_vit"), **({name: hyperparameters} if hyperparameters else {})
        )
    )


def test_cosine_is_torchs() -> None:
    assert schedule("cosine") == pytest.approx(
        torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)), abs=1e-9
    )


def test_step_is_torchs() -> None:
    assert schedule("step", at=5 / 9) == pytest.approx(
        torchs(lambda o: lr_scheduler.MultiStepLR(o, [STEPS * 5 // 9]))
    )


def test_one_cycle_is_torchs() -> None:
    """torch counts STEPS + 1 points with the last one at the end, and the peak at point pct * points - 1."""
    points, peak = STEPS + 1, 0.3 * STEPS
    theirs = torchs(
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, points, pct_start=(peak + 1) / points, final_div_factor=1e4, cycle_momentum=False
        )
    )
    assert schedule("one_cycle") == pytest.approx(theirs, abs=1e-9)


def test_slanted_triangular_is_the_papers_formula() -> None:
    """Howard and Ruder, equation 3, with T = STEPS iterations."""
    cut = STEPS * 0.1
    expected = []
    for t in range(STEPS):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / 0.1 - 1))
        expected.append((1 + p * (32 - 1)) / 32)
    assert schedule("slanted_triangular") == pytest.approx(expected)
    assert schedule("slanted_triangular")[-1] < 1.5 / 32


def optimisers_rates(phase: Phase, factor: float = 1.0) -> dict[str, float]:
    """As the optimiser has them when a step is taken. Trap: timm's lr_scale is heeded by timm's schedulers only."""
    optimizer = make_optimizer(phase, TRAIN)
    set_learning_rates(optimizer, factor)
    return {str(g["name"]): g["lr"] for g in optimizer.param_groups}


@pytest.mark.parametrize(("policy", "decay"), [("llrd", 0.75), ("discriminative", 1 / 2.6)])
@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_layer_wise_decay_reaches_the_optimiser(policy: str, decay: float, network: str) -> None:
    model = make_model(network)
    found = optimisers_rates(first_phase(f"full + {policy}", model, full={"lr": 0.1}), factor=0.5)
    depth = len(model.stages)
    expected = {f"stage{i}": 0.05 * decay ** (depth - i) for i in range(depth)} | {"head": 0.05}
    assert found == pytest.approx(expected)


def test_a_tenth_is_a_tenth_of_the_from_scratch_rate_whatever_the_strategys_own() -> None:
    phase = first_phase(
        "full + tenth", make_model("test_resnet"), full={"lr": 0.7}, tenth={"scratch_lr": 0.2}
    )
    found = optimisers_rates(phase)
    assert found.pop("head") == pytest.approx(0.2)
    assert list(found.values()) == pytest.approx([0.02] * len(found)) and found


def test_a_schedule_replaces_warm_up_and_runs_once_over_spans() -> None:
    model, task = make_model("test_vit"), make_task(epochs=4)
    trainer, log = make_trainer(model, task)
    trainer.run(composed("gradual + step", gradual={"lr": 0.1}, step={"at": 0.5}))
    assert [m["lr/head"] for m in log] == pytest.approx([0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_four_parts_compose(network: str) -> None:
    """ULMFiT's recipe with L2-SP on top: rates by depth, one triangle over all phases, a penalty in each."""
    model, task = make_model(network), make_task(epochs=6)
    trainer, log = make_trainer(model, task)
    hyperparameters = {"gradual": {"lr": 0.01}, "llrd": {"decay": 0.5}}
    trainer.run(composed("gradual + llrd + slanted_triangular + l2_sp", **hyperparameters))
    top = f"lr/stage{len(model.stages) - 1}"
    assert top not in log[0] and log[1][top] == pytest.approx(0.5 * log[1]["lr/head"])
    assert log[-1]["lr/stage0"] == pytest.approx(0.5 ** len(model.stages) * log[-1]["lr/head"])
    heads = [m["lr/head"] for m in log]
    assert heads == sorted(heads, reverse=True) and heads[-1] < 0.25 * heads[0]
    assert all("train/loss_l2_sp" in m for m in log)
