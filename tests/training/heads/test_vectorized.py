"""Many heads as one problem: the numbers of as many single runs through autograd and torch's optimisers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.core.spec import TrainSpec
from bench.methods.api import Batch, Group, Output, Phase, cross_entropy
from bench.training.epoch_order import EpochOrder
from bench.training.evaluate import score
from bench.training.heads.scoring import HeadScores
from bench.training.heads.update_rules import update_rule_of
from bench.training.heads.vectorized import Heads, HeadTrainer
from bench.training.optimizers import clip, make_optimizer, set_learning_rates

N, D, C, SIZE, EPOCHS = 70, 12, 5, 16, 3
STEPS = N // SIZE
LR, DECAY, SMOOTHING = [0.003, 0.1, 0.02, 0.5], [0.0, 0.1, 0.3, 1e-3], [0.0, 0.1, 0.3, 0.0]
OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.5}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.0}),
    ("adam", {}),
    ("adamw", {}),
    ("adamw", {"betas": (0.8, 0.95), "eps": 1e-4}),
]


@dataclass(frozen=True)
class Case:
    """Features and labels, with what a study may add."""

    z: Tensor
    y: Tensor
    target: Tensor | None = None
    weight: Tensor | None = None
    smoothing: list[float] | None = None

    def draws(self) -> list[EpochOrder]:
        generator = torch.Generator().manual_seed(3)
        orders = [torch.randperm(N, generator=generator)[: STEPS * SIZE] for _ in range(EPOCHS)]
        target, weight = self.target, self.weight
        return [
            EpochOrder(
                i, self.y[i], None if target is None else target[i], None if weight is None else weight[i]
            )
            for i in orders
        ]


def factors() -> list[float]:
    """Warm-up, then cosine."""
    total = STEPS * EPOCHS
    return [min(1, (i + 1) / 4) * 0.5 * (1 + math.cos(math.pi * i / total)) for i in range(total)]


def plain() -> Case:
    generator = torch.Generator().manual_seed(0)
    return Case(torch.randn(N, D, generator=generator), torch.randint(C, (N,), generator=generator))


def cases() -> dict[str, Case]:
    generator, case = torch.Generator().manual_seed(1), plain()
    soft = torch.rand(N, C, generator=generator).softmax(dim=1)
    weight = torch.rand(N, generator=generator) + 0.1
    return {
        "plain": case,
        "weighted": replace(case, weight=weight),
        "smoothed": replace(case, smoothing=SMOOTHING),
        "all at once": replace(case, target=soft, weight=weight, smoothing=SMOOTHING),
    }


def layers(k: int = len(LR)) -> list[nn.Linear]:
    torch.manual_seed(5)
    return [nn.Linear(D, C) for _ in range(k)]


def trainer(case: Case, train: TrainSpec, heads: list[nn.Linear] | None = None) -> HeadTrainer:
    rule = update_rule_of(train)
    assert rule
    return HeadTrainer(Heads.of(heads or layers()), rule, LR, DECAY, case.smoothing, train.clip_grad)


def together(case: Case, trainer: HeadTrainer) -> list[HeadScores]:
    """HeadScores of each epoch."""
    return [
        trainer.epoch(case.z, draw, SIZE, factors()[i * STEPS : (i + 1) * STEPS])
        for i, draw in enumerate(case.draws())
    ]


class Head:
    """Stands for the network of a run: its loss asks a batch for the logits alone."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def output(self, model: object) -> Output:
        return self.out

    def observe(self, x: Tensor) -> Output:
        return Output(self.layer(x), x, {})


def alone(
    case: Case, train: TrainSpec, layer: nn.Linear, lr: float, decay: float, eps: float
) -> list[tuple[float, float]]:
    """Loss and accuracy of each epoch, as the harness's own loop, optimiser and loss get them. Trains `layer`."""
    model, schedule = Head(layer), iter(factors())
    optimizer = make_optimizer(Phase("p", 1, [Group([layer.weight, layer.bias], lr, decay)]), train)
    found = []
    for draw in case.draws():
        losses, right = [], 0
        for i in range(0, len(draw), SIZE):
            part = draw.part(i, i + SIZE)
            target = nn.functional.one_hot(part.y, C).float() if part.target is None else part.target
            target = target * (1 - eps) + eps / C
            weight = torch.ones(SIZE) if part.weight is None else part.weight
            batch = Batch(case.z[part.rows], part.y, target, weight)
            set_learning_rates(optimizer, next(schedule))
            loss = cross_entropy(model, batch)["ce"]  # type: ignore[arg-type]
            loss.backward()
            clip(optimizer, train)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            right += (batch.output(model).logits.argmax(-1) == part.y).sum().item()  # type: ignore[arg-type]
        found.append((sum(losses) / len(losses), right / len(draw)))
    return found


def close(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("optimizer", "kwargs"), OPTIMISERS)
@pytest.mark.parametrize("name", cases())
def test_heads_vectorized_runs_are_those_trained_alone(
    name: str, optimizer: str, kwargs: dict[str, Any]
) -> None:
    """Weights, losses and accuracies; rates, decays and smoothings differ from head to head."""
    case, train = cases()[name], TrainSpec(optimizer=optimizer, optimizer_kwargs=kwargs)
    single, batched = layers(), trainer(case, train)
    scores = together(case, batched)
    for k, layer in enumerate(single):
        eps = case.smoothing[k] if case.smoothing else 0.0
        expected = torch.tensor(alone(case, train, layer, LR[k], DECAY[k], eps))
        close(torch.tensor([(s.loss[k], s.accuracy[k]) for s in scores]), expected)
        close(batched.heads.weight[k], layer.weight.detach())
        close(batched.heads.bias[k], layer.bias.detach())


@pytest.mark.parametrize("most", [0.05, 0.3, 10.0], ids=["always", "some", "never"])
@pytest.mark.parametrize(("optimizer", "kwargs"), [("sgd", {}), ("momentum", {}), ("adamw", {})])
def test_each_head_is_clipped_by_its_own_norm(most: float, optimizer: str, kwargs: dict[str, Any]) -> None:
    case, train = cases()["all at once"], TrainSpec(optimizer=optimizer, clip_grad=most)
    single, batched = layers(), trainer(case, train)
    scores = together(case, batched)
    for k, layer in enumerate(single):
        expected = torch.tensor(alone(case, train, layer, LR[k], DECAY[k], SMOOTHING[k]))
        close(torch.tensor([(s.loss[k], s.accuracy[k]) for s in scores]), expected)
        close(batched.heads.weight[k], layer.weight.detach())


def test_one_head_is_a_problem_too() -> None:
    case, train, layer = plain(), TrainSpec(), layers(1)[0]
    batched = HeadTrainer(Heads.of([layer]), update_rule_of(train), LR[1:2], DECAY[1:2])  # type: ignore[arg-type]
    losses = [s.loss.item() for s in together(case, batched)]
    close(losses, [loss for loss, _ in alone(case, train, layer, LR[1], DECAY[1], 0.0)])


def test_a_step_is_the_same_however_many_are_gathered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases()["all at once"]
    expected = together(case, whole := trainer(case, TrainSpec()))
    monkeypatch.setattr("bench.training.heads.vectorized.CHUNK", 1)
    found = together(case, chunked := trainer(case, TrainSpec()))
    close([s.loss for s in found], [s.loss for s in expected])
    assert torch.equal(whole.heads.weight, chunked.heads.weight)
    close(chunked.logits(case.z), whole.logits(case.z))
    assert torch.equal(chunked.evaluate(case.z, case.y).accuracy, whole.evaluate(case.z, case.y).accuracy)


def test_the_same_again_to_the_bit() -> None:
    case, twice = plain(), [trainer(plain(), TrainSpec()) for _ in range(2)]
    first, second = ([s.loss for s in together(case, t)] for t in twice)
    assert all(map(torch.equal, first, second))
    assert torch.equal(twice[0].heads.weight, twice[1].heads.weight)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
def test_a_head_that_diverges_leaves_the_others_alone(optimizer: str) -> None:
    case, heads, train = plain(), layers(), TrainSpec(optimizer=optimizer)
    healthy = trainer(case, train, heads)
    heads[1] = layers()[1]
    with torch.no_grad():
        heads[1].weight[0, 0] = math.nan
        heads[2].weight.mul_(1e38)
        heads[2].bias.fill_(math.inf)
    ill = trainer(case, train, heads)
    expected, found = together(case, healthy)[-1], together(case, ill)[-1]
    assert found.loss.isfinite().tolist() == [True, False, False, True]
    assert found.accuracy[1:3].isfinite().all()
    for k in (0, 3):
        assert torch.equal(found.loss[k], expected.loss[k])
        assert torch.equal(ill.heads.weight[k], healthy.heads.weight[k])
    ill.keep([0, 3])
    assert ill.evaluate(case.z, case.y).loss.isfinite().all()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_heads_that_are_kept_go_on_as_before(optimizer: str) -> None:
    case = cases()["all at once"]
    all_of_them, few = (trainer(case, TrainSpec(optimizer=optimizer)) for _ in range(2))
    for i, draw in enumerate(case.draws()):
        own = factors()[i * STEPS : (i + 1) * STEPS]
        expected, found = all_of_them.epoch(case.z, draw, SIZE, own), few.epoch(case.z, draw, SIZE, own)
        if i == 0:
            few.keep([3, 1])
    assert len(few) == 2
    close(found.loss, expected.loss[[3, 1]])
    close(few.heads.weight, all_of_them.heads.weight[[3, 1]])


def test_evaluation_is_that_of_a_single_run() -> None:
    case, single = plain(), layers()
    batched = trainer(case, TrainSpec())
    found = batched.evaluate(case.z, case.y)
    for k, layer in enumerate(single):
        logits = layer(case.z).detach()
        expected = score(logits, case.y)
        close(batched.logits(case.z)[k], logits)
        close([found.accuracy[k].item(), found.loss[k].item()], [expected.accuracy, expected.nll])


def test_a_certain_error_has_a_finite_loss() -> None:
    """exp(-1000) is no float, but the loss of a single run is 1000."""
    layer = nn.Linear(1, 2, bias=True)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([1000.0, 0.0]))
    batched = HeadTrainer(Heads.of([layer]), update_rule_of(TrainSpec()), [1e-3], [0.0])  # type: ignore[arg-type]
    scores = batched.epoch(torch.zeros(2, 1), EpochOrder(torch.arange(2), torch.tensor([1, 1])), 2, [1.0])
    close(scores.loss, torch.tensor([1000.0]))


def test_a_head_of_zeros_says_class_0_as_argmax_does() -> None:
    layer = nn.Linear(D, C)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    case = plain()
    batched = HeadTrainer(Heads.of([layer]), update_rule_of(TrainSpec()), [0.1], [0.0])  # type: ignore[arg-type]
    assert batched.evaluate(case.z, case.y).accuracy.item() == pytest.approx(
        score(layer(case.z), case.y).accuracy
    )


def test_features_in_bf16_are_those_numbers_in_float32() -> None:
    case = plain()
    half = replace(case, z=case.z.bfloat16())
    found, expected = (
        together(c, trainer(c, TrainSpec()))[-1].loss for c in (half, replace(case, z=half.z.float()))
    )
    assert torch.equal(found, expected)


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    case, batched = plain(), trainer(plain(), TrainSpec())
    few = EpochOrder(torch.arange(7), case.y[:7])
    before = batched.evaluate(case.z[:7], case.y[:7]).loss
    close(batched.epoch(case.z, few, SIZE, [1.0]).loss, before)


def test_a_head_goes_back_into_its_layer() -> None:
    source, layer = layers()[2], nn.Linear(D, C)
    Heads.of(layers()).write(2, layer)
    assert torch.equal(layer.weight, source.weight) and torch.equal(layer.bias, source.bias)


def test_what_does_not_fit_is_refused() -> None:
    rule, heads = update_rule_of(TrainSpec()), Heads.of(layers())
    assert rule
    with pytest.raises(ValueError, match="as many learning rates"):
        HeadTrainer(heads, rule, LR, DECAY[:2])
    with pytest.raises(ValueError, match="must be positive"):
        HeadTrainer(heads, rule, [0.0, *LR[1:]], DECAY)
    with pytest.raises(ValueError, match="not 1 batches of 16"):
        HeadTrainer(heads, rule, LR, DECAY).epoch(plain().z, plain().draws()[0], SIZE, [1.0])


def test_only_optimisers_with_a_rule_have_one() -> None:
    assert update_rule_of(TrainSpec(optimizer="sgd")).settings == {"momentum": 0.9, "nesterov": True}  # type: ignore[union-attr]
    assert update_rule_of(TrainSpec(optimizer="adamw")).decay == "decoupled"  # type: ignore[union-attr]
    assert update_rule_of(TrainSpec(optimizer="adam")).decay == "coupled"  # type: ignore[union-attr]
    for other in ("adagrad", "lamb", "sgdp"):
        assert update_rule_of(TrainSpec(optimizer=other)) is None
    assert update_rule_of(TrainSpec(optimizer="adamw", optimizer_kwargs={"amsgrad": True})) is None
    assert update_rule_of(TrainSpec(optimizer="momentum", optimizer_kwargs={"dampening": 0.5})) is None
    with pytest.raises(UserError, match="unknown optimizer"):
        update_rule_of(TrainSpec(optimizer="nonsense"))
