"""Teachers and unlabelled data, and Bi-Tuning: each method against an independent computation, and its traps."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.methods import freeze
from bench.methods.api import Batch, Phase
from bench.models.model import Model
from bench.planning import compose
from strategies.shared.keys import divergence
from strategies.shared.unlabeled import confident_cross_entropy
from tests.support.strategy_samples import (
    CLASSES,
    a_batch,
    composed,
    first_phase,
    gentle,
    make_model,
    make_task,
    make_trainer,
)


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@torch.no_grad()
def logits_of(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    return model(x).double().numpy()


def taught_by(teacher: Model, expression: str, model: Model, **hyperparameters: dict[str, object]) -> Phase:
    return first_phase(expression, model, replace(make_task(), teacher=lambda: teacher), **hyperparameters)


def step(phase: Phase, model: Model) -> None:
    """What the loop does after the optimiser has changed the weights."""
    for hook in phase.step_hooks:
        hook(model)


def disturb(model: Model) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))


def hopeful(model: Model, factor: float = 20.0) -> Model:
    """Larger logits, so that some predictions of an untrained network are confident."""
    with torch.no_grad():
        model.classifier.weight.mul_(factor)
    return model


# distillation


def test_distillation_is_hintons_formula() -> None:
    model, teacher = (
        make_model("test_vit").eval(),
        make_model("test_resnet", seed=4).requires_grad_(False).eval(),
    )
    phase = taught_by(teacher, "full + distill", model, distill={"alpha": 0.3, "temperature": 5.0})
    batch = replace(a_batch(6), weight=torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 4.0]))
    terms = phase.loss(model, batch)
    log_p, log_q = (log_softmax(logits_of(net, batch.x) / 5.0) for net in (teacher, model))
    kl, w = (np.exp(log_p) * (log_p - log_q)).sum(-1), batch.weight.numpy()
    ce = -log_softmax(logits_of(model, batch.x))[np.arange(6), batch.y.numpy()]
    assert terms.keys() == {"ce", "distill"}
    assert terms["distill"].item() == pytest.approx(0.3 * 25 * (w * kl).sum() / w.sum(), rel=1e-4)
    assert terms["ce"].item() == pytest.approx(0.7 * (w * ce).sum() / w.sum(), rel=1e-4)


def test_the_pull_of_the_teacher_does_not_fade_with_the_temperature() -> None:
    """T^2: towards high temperatures the gradient on the logits tends to (z - v) / K, the logits' means taken off."""
    model, teacher = (
        make_model("test_vit").eval(),
        make_model("test_vit", seed=4).requires_grad_(False).eval(),
    )
    batch = a_batch(6)
    bias = model.get_parameter("net.head.bias")
    z, v = (logits_of(net, batch.x) for net in (model, teacher))
    limit = ((z - z.mean(-1, keepdims=True)) - (v - v.mean(-1, keepdims=True))).mean(0) / CLASSES
    for temperature in (100.0, 300.0):
        phase = taught_by(
            teacher, "full + distill", model, distill={"alpha": 1.0, "temperature": temperature}
        )
        (gradient,) = torch.autograd.grad(phase.loss(model, replace(batch))["distill"], bias)
        np.testing.assert_allclose(gradient.numpy(), limit, atol=0.02 * np.abs(limit).max())


def test_other_terms_keep_their_weight_beside_a_teacher() -> None:
    model = make_model("test_resnet")
    alone = first_phase("full + l2_sp", model)
    taught = first_phase("full + l2_sp + distill", model, distill={"alpha": 0.25})
    disturb(model)
    model.eval()
    batch = a_batch()
    before, after = alone.loss(model, batch), taught.loss(model, batch)
    assert after["l2_sp"].item() == before["l2_sp"].item() > 0
    assert after["ce"].item() == pytest.approx(0.75 * before["ce"].item())


def test_the_teacher_sees_images_as_it_was_trained_on_them_and_stays_as_it_is() -> None:
    model, teacher = make_model("test_resnet"), make_model("test_resnet", seed=4).requires_grad_(False).eval()
    teacher.mean, teacher.std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    phase = taught_by(teacher, "full + distill", model, distill={"alpha": 1.0, "temperature": 1.0})
    freeze.apply(model, phase)
    batch = a_batch()
    pixels = batch.x * torch.tensor(model.std)[:, None, None] + torch.tensor(model.mean)[:, None, None]
    theirs = (pixels - torch.tensor(teacher.mean)[:, None, None]) / torch.tensor(teacher.std)[:, None, None]
    loss = phase.loss(model, batch)["distill"]
    loss.backward()
    log_p, log_q = (
        log_softmax(logits_of(teacher, theirs)),
        log_softmax(batch.output(model).logits.detach().double().numpy()),
    )
    assert loss.item() == pytest.approx((np.exp(log_p) * (log_p - log_q)).sum(-1).mean(), rel=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items()), "BatchNorm in train mode?"
    assert all(p.grad is None for p in teacher.parameters())


def test_one_teacher_serves_all_phases() -> None:
    made = []

    def make() -> Model:
        made.append(make_model("test_resnet", seed=4).requires_grad_(False).eval())
        return made[-1]

    list(composed("staged + distill").phases(make_model("test_resnet"), replace(make_task(), teacher=make)))
    assert len(made) == 1


@pytest.mark.parametrize("hyperparameters", [{"alpha": 1.5}, {"temperature": 0.0}])
def test_a_distillation_that_means_nothing_is_refused(hyperparameters: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"distill: alpha is .* temperature"):
        first_phase("full + distill", make_model("test_resnet"), distill=hyperparameters)


# pseudo-labels and FixMatch


def test_only_the_confident_count_and_the_mean_is_over_all() -> None:
    guess = torch.tensor(
        [[4.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 3.0], [0.0, 1.0, 0.0]], requires_grad=True
    )
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = confident_cross_entropy(guess, logits, 0.9)
    loss.backward()
    log_q = log_softmax(logits.detach().double().numpy())
    p = np.exp(log_softmax(guess.detach().double().numpy())).max(-1)
    assert (p > 0.9).tolist() == [True, False, True, False], "the sample"
    assert loss.item() == pytest.approx(-(log_q[0, 0] + log_q[2, 2]) / 4, rel=1e-5)
    assert guess.grad is None
    assert [bool(g.any()) for g in logits.grad] == [True, False, True, False]


def test_fixmatch_learns_strong_views_from_the_labels_of_weak_ones() -> None:
    """On a ViT, whose images do not see each other."""
    model = hopeful(make_model("test_vit"))
    batch = a_batch(4, unlabeled=8)
    p = np.exp(log_softmax(logits_of(model.eval(), batch.weak)))
    threshold = float(np.sort(p.max(-1))[3:5].mean())  # half of them are confident
    phase = first_phase("full + fixmatch", model, fixmatch={"threshold": threshold, "weight": 2.0})
    batch.weak.requires_grad_()
    batch.strong.requires_grad_()
    loss = phase.loss(model, batch)["fixmatch"]
    loss.backward()
    ce = -log_softmax(logits_of(model, batch.strong))[np.arange(8), p.argmax(-1)]
    confident = p.max(-1) >= threshold
    assert confident.sum() == 4
    assert loss.item() == pytest.approx(2.0 * (confident * ce).sum() / 8, rel=1e-4)
    assert not batch.weak.grad.any(), "the label is a label: nothing is learnt through it"
    assert (batch.strong.grad.flatten(1).abs().sum(1) > 0).tolist() == confident.tolist()


def test_fixmatch_shows_weak_and_strong_views_to_batchnorm_together() -> None:
    model = hopeful(make_model("test_resnet"))
    phase = first_phase("full + fixmatch", model, fixmatch={"threshold": 0.5})
    freeze.apply(model, phase)
    twin, batch = copy.deepcopy(model), a_batch(4, unlabeled=8)
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    loss = phase.loss(model, batch)
    assert norm.num_batches_tracked == 2, "one pass of the labelled images, one of both views"
    z = logits_of(twin, torch.cat([batch.weak, batch.strong]))
    p = np.exp(log_softmax(z[:8]))
    ce = -log_softmax(z[8:])[np.arange(8), p.argmax(-1)]
    assert (p.max(-1) >= 0.5).any()
    assert loss["fixmatch"].item() == pytest.approx(((p.max(-1) >= 0.5) * ce).mean(), rel=1e-4)
    plain = first_phase("full", twin := copy.deepcopy(twin)).loss(twin, replace(batch))
    assert loss["ce"].item() == plain["ce"].item(), (
        "the labelled images are treated as without unlabelled ones"
    )


def test_pseudo_labels_count_as_in_the_papers_schedule() -> None:
    model, task = hopeful(make_model("test_vit")).eval(), make_task(epochs=10)  # 30 steps
    hyperparameters = {"threshold": 0.5, "weight": 3.0, "t1": 0.1, "t2": 0.6}
    phase = first_phase("full + pseudo_label", model, task, pseudo_label=hyperparameters)
    batch = a_batch(4, unlabeled=6)
    log_q = log_softmax(logits_of(model, batch.weak))
    confident = np.exp(log_q.max(-1)) >= 0.5
    assert confident.sum() > 0
    full_weight = -(confident * log_q.max(-1)).mean()
    for done in range(30):
        alpha = 3.0 * min(max((done / 30 - 0.1) / (0.6 - 0.1), 0.0), 1.0)
        found = phase.loss(model, replace(batch))["pseudo_label"].item()
        assert found == pytest.approx(alpha * full_weight, rel=1e-4, abs=1e-7), f"after {done} steps"
        step(phase, model)


def test_the_schedule_of_a_run_goes_on_through_its_phases() -> None:
    """Gradual unfreezing is one run in many phases: alpha must not start anew with each."""
    model, task = hopeful(make_model("test_vit")).eval(), make_task(epochs=4)
    hyperparameters = {"threshold": 0.4, "weight": 1.0, "t1": 0.0, "t2": 1.0}
    batch, found = a_batch(4, unlabeled=6), []
    for phase in composed("gradual + pseudo_label", pseudo_label=hyperparameters).phases(model, task):
        for _ in range(3):
            found.append(phase.loss(model, replace(batch))["pseudo_label"].item())
            step(phase, model)
    assert found == pytest.approx([found[-1] / 11 * i for i in range(12)], rel=1e-4)


@pytest.mark.parametrize("name", ["pseudo_label", "fixmatch", "mean_teacher"])
def test_no_unlabelled_images_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: unlabeled is 0, but must be at least 1"):
        first_phase(f"full + {name}", make_model("test_resnet"), **{name: {"unlabeled": 0}})


def test_two_ways_of_labelling_the_same_images_are_refused() -> None:
    with pytest.raises(compose.Meaningless, match="both label the same images"):
        composed("full + fixmatch + pseudo_label")


def test_methods_that_share_unlabelled_images_get_as_many_as_the_greedier_one_asks_for() -> None:
    hyperparameters = {"fixmatch": {"unlabeled": 2}, "mean_teacher": {"unlabeled": 5}}
    for expression in ("full + fixmatch + mean_teacher", "full + mean_teacher + fixmatch"):
        assert first_phase(expression, make_model("test_resnet"), **hyperparameters).unlabeled == 5


# Mean Teacher


def test_the_teacher_is_the_plain_mean_at_first_and_an_exponential_one_later() -> None:
    model = make_model("test_convnext")
    phase = first_phase("full + mean_teacher", model, mean_teacher={"decay": 0.75})
    name, mean = "head.fc.weight", None
    seen = [model.net.get_parameter(name).detach().double().numpy().copy()]
    for t in range(1, 7):
        disturb(model)
        step(phase, model)
        seen.append(model.net.get_parameter(name).detach().double().numpy().copy())
        # up to 1 - 1 / (t + 1) = .75 the mean of all weights so far, then a moving average
        mean = np.mean(seen, axis=0) if t <= 3 else 0.75 * mean + 0.25 * seen[-1]
        found = phase.eval_weights()[name].double().numpy()
        np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-7, err_msg=f"after {t} steps")


def test_mean_teacher_is_the_squared_distance_of_predictions_under_a_rising_weight() -> None:
    model, task = hopeful(make_model("test_vit")).eval(), make_task(epochs=10)
    phase = first_phase("full + mean_teacher", model, task, mean_teacher={"weight": 7.0, "ramp": 0.4})
    teacher, batch = copy.deepcopy(model), a_batch(4, unlabeled=6)
    disturb(model)  # as if by steps that the teacher has not followed yet
    p, q = (np.exp(log_softmax(logits_of(*seen))) for seen in ((teacher, batch.weak), (model, batch.strong)))
    distance = ((p - q) ** 2).mean()
    assert distance > 1e-3
    batch.weak.requires_grad_()
    first = phase.loss(model, replace(batch))["mean_teacher"]
    assert first.item() == pytest.approx(7.0 * math.exp(-5) * distance, rel=1e-4)
    first.backward()
    assert batch.weak.grad is None, "the teacher's side of the loss is a constant"
    hooks = {id(h): h for h in phase.step_hooks}
    count = next(
        h for h in hooks.values() if "count" in h.__qualname__
    )  # progress alone: the teacher stays behind
    for done in range(1, 30):
        count(model)
        rise = math.exp(-5 * (1 - done / 12) ** 2) if done < 12 else 1.0
        found = phase.loss(model, replace(batch))["mean_teacher"].item()
        assert found == pytest.approx(7.0 * rise * distance, rel=1e-4), f"after {done} steps"


def test_the_teacher_normalises_by_its_own_batches_where_the_student_does() -> None:
    model = make_model("test_resnet")
    phase = first_phase("last_stages + mean_teacher", model)
    freeze.apply(model, phase)
    batch = a_batch(4, unlabeled=6)
    before = {k: v.clone() for k, v in model.net.state_dict().items()}
    twin = copy.deepcopy(model.net)
    with torch.no_grad():
        twin(batch.weak)
    phase.loss(model, batch)
    step(phase, model)
    after, norms = phase.eval_weights(), [k for k in before if k.endswith("running_mean")]
    moved = {k: not torch.equal(after[k], before[k]) for k in norms}
    assert moved[norms[-1]] and not moved[norms[0]], (
        "frozen layers keep their statistics, trained ones do not"
    )
    for k in norms:
        torch.testing.assert_close(after[k], twin.state_dict()[k], msg=f"{k} is not that of the weak views")


def test_a_run_ends_with_the_teacher_and_is_evaluated_by_it() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=2)
    trainer, log = make_trainer(model, task)
    (phase,) = gentle("full + mean_teacher").phases(model, task)
    student = {}
    phase = phase.after_step(lambda m: student.update(copy.deepcopy(m.net.state_dict())))
    trainer.fit(phase)
    device = trainer.precision.device
    teacher = {k: v.to(device) for k, v in phase.eval_weights().items()}
    assert all(torch.equal(v, teacher[k]) for k, v in model.net.state_dict().items())
    assert any(not torch.equal(v, teacher[k]) for k, v in student.items()), "the student is another network"
    nll = nn.functional.cross_entropy(trainer.predict(task.val), task.val.y).item()
    assert log[-1]["val/nll"] == pytest.approx(nll, rel=1e-4)


def test_one_teacher_goes_through_a_run_of_several_phases_and_each_new_run_has_another() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=4)
    weights, inner = [model.net.get_parameter("fc.weight").detach().clone()], []
    for phase in composed("gradual + mean_teacher").phases(model, task):
        disturb(model)
        step(phase, model)
        weights.append(model.net.get_parameter("fc.weight").detach().clone())
        inner.append(phase.eval_weights)
    *inner, last = inner
    assert inner == [None] * 3, "the student goes on with its own weights"
    torch.testing.assert_close(
        last()["fc.weight"], torch.stack(weights).mean(0), msg="not the mean of all steps"
    )
    probe, joint = (p.eval_weights for p in composed("staged + mean_teacher").phases(model, task))
    assert probe.__self__ is not joint.__self__


# Bi-Tuning


def test_positives_share_the_mass_and_the_loss_is_the_divergence_from_that() -> None:
    """All similarities equal: the softmax is 1/(N+1) everywhere, and KL = ln((N+1)/P) with P positives."""
    same = torch.tensor([[True, False, False, True, False], [False] * 5])
    own, others = torch.full((2,), 0.3), torch.full((2, 5), 0.3)
    expected = (math.log(6 / 3) + math.log(6 / 1)) / 2
    assert divergence(own, others, same, 0.07).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(own, others[:, :0], same[:, :0], 0.07).item() == 0, "an empty queue has nothing to say"
    perfect = torch.where(same, 1.0, -1.0)
    assert divergence(torch.ones(2), perfect, same, 0.07).item() == pytest.approx(0, abs=1e-6)


class Reference:
    """The authors' loop over images, in NumPy: one queue for each class, oldest first."""

    def __init__(self, model: Model, size: int, momentum: float, temperature: float) -> None:
        self.encoder = copy.deepcopy(model)
        self.size, self.momentum, self.temperature = size, momentum, temperature
        self.queues: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {c: [] for c in range(CLASSES)}

    @staticmethod
    def encode(model: Model, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            f = model.observe(x).features
            z = model.extra["bi_tuning_projector"](f).double().numpy()
        h = np.concatenate([f.double().numpy(), np.ones((len(f), 1))], 1)
        return tuple(a / np.linalg.norm(a, axis=1, keepdims=True) for a in (h, z))

    def loss(self, model: Model, x: torch.Tensor, y: list[int]) -> float:
        (h, z), (_, k) = self.encode(model, x), self.encode(self.encoder, x)
        layer = model.classifier
        w = np.concatenate([layer.weight.detach().numpy(), layer.bias.detach().numpy()[:, None]], 1).astype(
            float
        )
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        total = 0.0
        for i, c in enumerate(y):
            rivals = [key for other in range(CLASSES) if other != c for key in self.queues[other]]
            keys = [*self.queues[c], *rivals]
            positives = 1 + len(self.queues[c])
            on_z = np.array([z[i] @ k[i], *(z[i] @ key_z for _, key_z in keys)])
            on_y = np.array([h[i] @ w[c], *(key_h @ w[c] for key_h, _ in keys)])
            for s in (on_z, on_y):
                total -= log_softmax(s / self.temperature)[:positives].mean() + math.log(positives)
        return total / len(y)

    def step(self, model: Model, x: torch.Tensor, y: list[int]) -> None:
        """With the keys of the batch as the encoder made them, before it follows."""
        h, z = self.encode(self.encoder, x)
        for i, c in enumerate(y):
            self.queues[c] = [*self.queues[c], (h[i], z[i])][-self.size :]
        with torch.no_grad():
            for own, new in zip(self.encoder.parameters(), model.parameters(), strict=True):
                own.copy_(self.momentum * own + (1 - self.momentum) * new)


def test_bi_tuning_is_the_authors_loss_through_steps_that_fill_and_overflow_the_queue() -> None:
    model = make_model("test_vit").eval()
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([1.0, -1.0, 2.0]))
    hyperparameters = {"queue": 3, "momentum": 0.6, "temperature": 0.2, "weight": 1.5, "dim": 16}
    phase = first_phase("full + bi_tuning", model, bi_tuning=hyperparameters)
    reference = Reference(model, size=3, momentum=0.6, temperature=0.2)
    generator = torch.Generator().manual_seed(1)
    for labels in ([0, 1, 2, 0], [1, 1, 0, 2], [0, 0, 1, 2], [2, 1, 0, 1], [1, 2, 2, 0]):
        batch, y = a_batch(4), torch.tensor(labels)
        x = batch.x + torch.randn(batch.x.shape, generator=generator)
        batch = Batch(x, y, nn.functional.one_hot(y, CLASSES).float(), batch.weight)
        found = phase.loss(model, batch)["bi_tuning"].item()
        assert found == pytest.approx(1.5 * reference.loss(model, x, labels), rel=1e-3, abs=1e-6)
        disturb(model)
        reference.step(model, x, labels)
        step(phase, model)
    assert found > 0.1, "the sample says nothing"


def test_a_class_that_fills_a_batch_keeps_as_many_keys_as_its_queue_holds() -> None:
    model = make_model("test_vit").eval()
    phase = first_phase("full + bi_tuning", model, bi_tuning={"queue": 2})
    batch = replace(a_batch(6), y=torch.zeros(6, dtype=torch.int64))
    phase.loss(model, batch)
    step(phase, model)
    term = next(c.cell_contents for c in phase.loss.__closure__ if hasattr(c.cell_contents, "args"))
    (keys,) = term.args
    assert keys.queue[-1].tolist() == [0, 0]


def test_bi_tuning_teaches_the_backbone_and_the_projector_but_not_through_the_heads_weights() -> None:
    model = make_model("test_resnet")
    phase = first_phase("full + bi_tuning", model)
    freeze.apply(model, phase)
    for _ in range(2):
        loss = phase.loss(model, a_batch())["bi_tuning"]
        step(phase, model)
    loss.backward()
    assert model.classifier.weight.grad is None and model.classifier.bias.grad is None
    moved = [model.get_parameter("net.conv1.0.weight"), model.extra["bi_tuning_projector"].weight]
    assert all(p.grad is not None and p.grad.any() for p in moved)
    assert not any(name.startswith("bi_tuning") for name in model.net.state_dict()), (
        "it is no part of the network"
    )


def test_bi_tuning_leaves_a_phase_of_the_head_alone_as_it_is() -> None:
    model = make_model("test_resnet")
    probe, joint = composed("staged + bi_tuning").phases(model, make_task())
    assert [g.name for g in probe.train] == ["head"]
    assert joint.train[-1].name == "bi_tuning_projector"
    assert joint.train[-1].lr == joint.head_lr


def test_the_keys_of_bi_tuning_go_through_a_run_of_several_phases() -> None:
    """A queue without keys has nothing to say: the loss is zero in a run's first step, and only there."""
    model, task = make_model("test_resnet"), make_task(epochs=4)
    found = []
    for phase in composed("gradual + bi_tuning").phases(model, task):
        loss = phase.loss(model, a_batch())
        step(phase, model)
        found.append(loss["bi_tuning"].item() if "bi_tuning" in loss else None)
    assert found[:2] == [None, 0.0], "the first phase trains the head alone"
    assert all(value > 0.01 for value in found[2:])


def test_bi_tuning_refuses_what_it_cannot_contrast() -> None:
    with pytest.raises(compose.Meaningless, match="the backbone is frozen"):
        composed("linear_probe + bi_tuning")
    for mix in ("mixup", "cutmix"):
        with pytest.raises(compose.Meaningless, match="belongs to no one class"):
            composed(f"full + bi_tuning + {mix}")
    with pytest.raises(UserError, match="the head is a Sequential, but must be one linear layer"):
        first_phase("full + bi_tuning + mlp_head", make_model("test_resnet"))
