"""Schedules of freezing that change in the course of training."""

from __future__ import annotations

import statistics
from itertools import accumulate, pairwise

import pytest
import torch

from bench.core.errors import UserError
from bench.methods.api import cross_entropy
from strategies.freezing.auto_freeze import next_border
from tests.support.strategy_samples import composed, first_phase, make_model, make_task, make_trainer


@pytest.mark.parametrize(
    ("epochs", "phases"),
    [
        (8, [(5, 1), (4, 1), (3, 1), (2, 1), (1, 1), (0, 3)]),
        (6, [(5, 1), (4, 1), (3, 1), (2, 1), (1, 1), (0, 1)]),
        (4, [(5, 1), (3, 1), (2, 1), (0, 1)]),
        (3, [(5, 1), (3, 1), (0, 1)]),
        (2, [(5, 1), (0, 1)]),
        (1, [(0, 1)]),
    ],
)
def test_gradual_unfreezes_from_the_top_and_ends_with_everything(
    epochs: int, phases: list[tuple[int, int]]
) -> None:
    """(first stage that trains, epochs): one more an epoch, or as many more as it takes; one schedule over all."""
    model = make_model("test_resnet")
    found = list(composed("gradual").phases(model, make_task(epochs=epochs)))
    stages = [stage.name for stage in model.stages]
    assert [[g.name for g in p.train] for p in found] == [[*stages[first:], "head"] for first, _ in phases]
    assert [p.epochs for p in found] == [count for _, count in phases]
    ends = [end / epochs for end in accumulate((count for _, count in phases), initial=0)]
    assert [p.span for p in found] == list(pairwise(ends))


def test_lp_ft_tunes_from_the_probed_head() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=6)
    trainer, _ = make_trainer(model, task)
    phases = composed("lp_ft", lp_ft={"probe_share": 0.5}).phases(model, task)
    probe = next(phases)
    backbone = model.net.layer4[0].conv1.weight.detach().clone()
    trainer.fit(probe)
    probed = model.classifier.weight.detach().clone()
    assert torch.equal(model.net.layer4[0].conv1.weight, backbone)
    tune = next(phases)
    assert torch.equal(model.classifier.weight, probed), "the head is not drawn anew"
    assert (probe.epochs, tune.epochs) == (3, 3) and len(tune.train) == len(model.stages) + 1
    with pytest.raises(UserError, match="one epoch"):
        first_phase("lp_ft", model, make_task(epochs=1))


def test_auto_rgn_rates_are_relative_gradient_norms_over_the_largest() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=2)
    phase = first_phase("auto_rgn", model, task, auto_rgn={"lr": 0.5})
    model.eval()
    total = {n: torch.zeros_like(p, dtype=torch.float64) for n, p in model.named_parameters()}
    for batch in task.batches(model, limit=5, seed=0):
        model.zero_grad()
        cross_entropy(model, batch)["ce"].backward()
        for n, p in model.named_parameters():
            total[n] += p.grad.double()
    ratio = {}
    for stage in (*model.stages, model.head):
        kept = [n for n in stage.param_names if model.get_parameter(n).ndim > 1]  # BatchNorm is left out
        g = sum(total[n].square().sum() for n in kept) ** 0.5
        ratio[stage.name] = float(
            g / sum(model.get_parameter(n).double().square().sum() for n in kept) ** 0.5
        )
    expected = {name: 0.5 * r / max(ratio.values()) for name, r in ratio.items()}
    assert {g.name: g.lr for g in phase.train} == pytest.approx(expected, rel=1e-4)


def test_auto_rgn_measures_without_a_trace() -> None:
    model = make_model("test_efficientnet")
    model.net.blocks[0].eval()
    model.net.conv_stem.weight.requires_grad_(False)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = {n: m.training for n, m in model.named_modules()}
    first_phase("auto_rgn", model)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items()), "BatchNorm's statistics too"
    assert modes == {n: m.training for n, m in model.named_modules()}
    assert not model.net.conv_stem.weight.requires_grad and all(p.grad is None for p in model.parameters())


def test_auto_freeze_freezes_below_the_first_stage_at_the_median() -> None:
    before, now = [1.0, 1.0, 1.0, 1.0, 1.0], [0.95, 0.99, 0.5, 0.97, 0.2]
    changes = [abs(a - b) / a for a, b in zip(before, now, strict=True)]
    assert statistics.median(changes) == pytest.approx(0.05)
    assert next_border(before, now, 0) == 0, "stage 0 is itself at the median"
    assert next_border(before, [0.99, 0.98, 0.5, 0.7, 0.2], 0) == 2
    assert next_border(before, [0.0, 0.0, 0.99, 0.98, 0.2], 2) == 3, "what is frozen has no say"
    assert next_border(None, now, 0) == 0 and next_border(before, now, 4) == 4


def test_auto_freeze_never_thaws_and_compares_accumulated_gradients() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=5)
    trainer, _ = make_trainer(model, task)
    gradients: dict[int, float] = {}
    firsts, borders, before = [], [], None
    for phase in composed("auto_freeze", auto_freeze={"lr": 3e-3}).phases(model, task):
        firsts.append(len(model.stages) + 1 - len(phase.train))
        sums: dict[str, torch.Tensor] = {}

        def collect(m: object, sums: dict[str, torch.Tensor] = sums) -> None:
            for n, p in model.named_parameters():
                if p.grad is not None:
                    sums[n] = sums.get(n, 0) + p.grad.double()

        trainer.fit(phase.after_backward(collect))
        gradients = {
            s.index: float(sum(sums[n].square().sum() for n in s.param_names if n in sums)) ** 0.5
            for s in model.stages
        }
        now = [gradients[i] for i in range(len(model.stages))]
        borders.append(next_border(before, now, firsts[-1]))
        before = now
    assert firsts[1:] == borders[:-1] and firsts == sorted(firsts)
