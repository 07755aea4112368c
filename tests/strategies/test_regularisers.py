"""Regularisers against independent computations, and the traps seen in public code."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.core.errors import Diverged, UserError
from bench.core.schema import Metric
from bench.methods import freeze
from bench.methods.api import Batch, Phase, replace
from bench.models.model import Model, no_source_head
from bench.planning import compose
from strategies.layers.stoch_norm import convert
from strategies.regularization import co_tuning
from strategies.shared import maps as _maps
from tests.support.strategy_samples import (
    CLASSES,
    SOURCE_CLASSES,
    a_batch,
    composed,
    first_phase,
    gentle,
    make_model,
    make_task,
    make_trainer,
)


def shaken(model: Model, by: float = 0.05) -> Model:
    """Every parameter moved a little, as training does."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * torch.randn(p.shape, generator=generator))
    return model


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mode_of(model: Model, phase: Phase) -> Model:
    freeze.apply(model, phase)
    return model


# DELTA


@pytest.mark.parametrize(("network", "tokens"), [("test_resnet", False), ("test_vit", True)])
def test_delta_is_the_papers_formula(network: str, tokens: bool) -> None:
    model, batch = make_model(network), a_batch()
    phase = first_phase("full + delta", model, delta={"alpha": 0.3, "beta": 0.05, "attention": False})
    before = model.pretrained_copy().eval_output(batch.x).maps
    shaken(model).eval()
    after = model.eval_output(batch.x).maps
    expected = 0.0
    for name in before:
        fm, fm0 = numbers(after[name]), numbers(before[name])
        channels, positions = (fm.shape[2], fm.shape[1]) if tokens else (fm.shape[1], fm[0, 0].size)
        expected += 0.5 * 0.3 * channels * (1 / channels) * np.sum((fm - fm0) ** 2) / positions
    expected += 0.5 * 0.05 * sum(np.sum(numbers(p) ** 2) for p in model.classifier.parameters())
    assert phase.loss(model, batch)["delta"].item() == pytest.approx(expected, rel=1e-4)


def test_delta_weights_each_channel_by_its_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """All attention on one channel of one map: only that channel's change is penalised."""
    model, batch, task = make_model("test_resnet"), a_batch(), make_task()
    alone = {n: torch.zeros(m.shape[1]) for n, m in model.eval_output(batch.x).maps.items()}
    alone["layer2"][5] = 48.0  # C a_c, the map having 48 channels
    monkeypatch.setattr("strategies.regularization.delta.channel_importance", lambda *args: alone)
    phases = composed("full + delta", delta={"alpha": 0.2, "beta": 0.0}).phases(model, task)
    next(phases)
    before = model.eval_output(batch.x).maps["layer2"]
    phase = next(phases)
    after = shaken(model).eval().eval_output(batch.x).maps["layer2"]
    change = numbers(after - before)[:, 5]
    expected = 0.5 * 0.2 * 48 * np.sum(change**2) / change[0].size
    assert phase.loss(model, batch)["delta"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("network", "name"), [("test_resnet", "layer1"), ("test_vit", "blocks.3")])
def test_delta_attention_is_the_loss_without_each_channel(network: str, name: str) -> None:
    """One whole forward pass per channel, zeroed by a hook, in eval mode."""
    model, task = make_model(network), make_task()
    found = _maps.channel_importance(model, task, 1)[name]
    model.eval()
    losses = []
    for channel in range(len(found)):

        def zero(module: nn.Module, args: object, fm: torch.Tensor, channel: int = channel) -> torch.Tensor:
            fm = fm.clone()
            (fm if fm.ndim == 4 else fm.transpose(1, 2))[:, channel] = 0
            return fm

        handle = model.net.get_submodule(name).register_forward_hook(zero)
        with torch.no_grad():
            batch = next(task.batches(model, 1, seed=0))
            losses.append(F.cross_entropy(model(batch.x), batch.y).double().item())
        handle.remove()
    d = np.array(losses)
    z = (d - d.mean()) / d.std()
    np.testing.assert_allclose(numbers(found), len(d) * softmax(z / 5), rtol=2e-3)


def test_delta_reads_channel_last_maps() -> None:
    """Swin's maps are [B, H, W, C]."""
    fm = torch.arange(2 * 3 * 3 * 5.0).reshape(2, 3, 3, 5)
    swin, other = (SimpleNamespace(net=SimpleNamespace(output_fmt=f)) for f in ("NHWC", "NCHW"))
    assert torch.equal(_maps.by_channel(swin, fm)[..., 4], fm[..., 4].flatten(1))
    assert torch.equal(_maps.by_channel(other, fm)[..., 2], fm[:, 2].flatten(1))


def test_delta_measures_on_a_really_frozen_network_and_gives_the_head_back() -> None:
    """Trap: `module.requires_grad = False` freezes nothing, and statistics go on moving in train mode."""
    model, task = make_model("test_resnet"), make_task()
    trainer, _ = make_trainer(model, task)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    phases = composed("full + delta", delta={"head_epochs": 2, "batches": 1}).phases(model, task)
    preparation = next(phases)
    assert preparation.preparation and [g.name for g in preparation.train] == ["head"]
    trainer.fit(preparation)
    now = model.state_dict()
    assert {k for k in start if not torch.equal(start[k], now[k])} == {"net.fc.weight", "net.fc.bias"}
    run = next(phases)
    assert all(torch.equal(start[k], v) for k, v in model.state_dict().items())
    assert not run.preparation and all(group.weight_decay == 0 for group in run.train)


# BSS


def test_bss_is_the_sum_of_the_smallest_squared_singular_values() -> None:
    model, batch = make_model("test_resnet").eval(), a_batch(6)
    phase = first_phase("full + bss", model, bss={"eta": 0.7, "k": 2})
    u, s, vt = np.linalg.svd(numbers(batch.output(model).features), full_matrices=False)
    features = batch.output(model).features
    features.retain_grad()
    term = phase.loss(model, batch)["bss"]
    assert term.item() == pytest.approx(0.7 * np.sum(s[-2:] ** 2), rel=1e-3)
    term.backward()
    gradient = 0.7 * sum(2 * s[i] * np.outer(u[:, i], vt[i]) for i in (-1, -2))
    np.testing.assert_allclose(numbers(features.grad), gradient, atol=1e-3 * np.abs(gradient).max())


def test_bss_leaves_it_to_the_loop_to_report_divergence() -> None:
    """The SVD fails on features that are not finite."""
    model, task = make_model("test_resnet"), make_task()
    trainer, _ = make_trainer(model, task)
    with torch.no_grad():
        model.get_parameter("net.conv1.0.weight").fill_(float("nan"))
    with pytest.raises(Diverged):
        trainer.run(composed("full + bss"))


# stochastic normalisation


def norms(channels: int, p: float) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d, torch.Tensor]:
    """(plain, stochastic, input), with statistics and affine parameters unlike the batch's."""
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(channels)
    plain.running_mean.normal_()
    plain.running_var.uniform_(0.5, 2)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    holder = nn.Sequential(copy.deepcopy(plain))
    assert convert(holder, p) == 1
    return plain, holder[0], 2 + 3 * torch.randn(5, channels, 4, 4)


def by_hand(x: torch.Tensor, norm: nn.BatchNorm2d, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    shape = (1, -1, 1, 1)
    scaled = (numbers(x) - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + norm.eps)
    return scaled * numbers(norm.weight).reshape(shape) + numbers(norm.bias).reshape(shape)


def test_stoch_norm_draws_the_statistics_of_each_channel_with_probability_p() -> None:
    """Trap: a probability that is silently ignored."""
    for p in (0.0, 0.3, 1.0):
        plain, stochastic, x = norms(2000, p)
        batch = by_hand(x, plain, numbers(x).mean((0, 2, 3)), numbers(x).var((0, 2, 3)))
        moving = by_hand(x, plain, numbers(plain.running_mean), numbers(plain.running_var))
        out = numbers(stochastic.train()(x))
        is_batch = np.isclose(out, batch, atol=1e-4).all((0, 2, 3))
        is_moving = np.isclose(out, moving, atol=1e-4).all((0, 2, 3))
        assert (is_batch ^ is_moving).all(), "a channel is normalised by one of the two"
        assert is_batch.mean() == pytest.approx(p, abs=0.04 if 0 < p < 1 else 0)


def test_stoch_norm_tracks_statistics_as_batch_norm_does_and_is_it_in_eval_mode() -> None:
    plain, stochastic, x = norms(8, 0.5)
    plain.train()(x), stochastic.train()(x)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(stochastic.state_dict()[name], tensor)
    torch.testing.assert_close(stochastic.eval()(x), plain.eval()(x))


def test_stoch_norm_differentiates_the_moving_branch_at_the_statistics_it_used() -> None:
    """Not at those that the other branch has updated meanwhile."""
    plain, stochastic, x = norms(6, 0.0)
    x.requires_grad_()
    expected = plain.weight.detach() / (plain.running_var + plain.eps).sqrt()
    stochastic.train()(x).sum().backward()
    torch.testing.assert_close(x.grad, expected.view(1, -1, 1, 1).expand_as(x))


@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet"])
def test_stoch_norm_keeps_names_outputs_and_freezing(network: str) -> None:
    """timm's BatchNormAct2d has its activation inside; a frozen layer uses the moving statistics, as ever."""
    model, batch = make_model(network), a_batch()
    keys, logits = list(model.state_dict()), model.eval_output(batch.x).logits
    phase = first_phase("last_stages + stoch_norm", model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model.eval_output(batch.x).logits, logits)
    mode_of(model, phase)
    modes = {bool(m.training): m for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    assert set(modes) == {True, False}
    assert all(hasattr(m, "p") for m in modes.values())
    frozen = {n: b.clone() for n, b in model.named_buffers() if n in model.stages[0].buffer_names}
    model(batch.x)
    assert all(torch.equal(model.get_buffer(n), b) for n, b in frozen.items())


# the kept source head: LwF and Co-Tuning


def start_of(model: Model, task: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(source logits of all training images, weight, bias of the source head), before anything is trained."""
    head = model.source_head()
    weight, bias = numbers(head.weight), numbers(head.bias)
    features = np.concatenate([numbers(model.eval_output(b.x).features) for b in task.batches(model)])
    return features @ weight.T + bias, weight, bias


def some(task: object, model: Model) -> Batch:
    """Images 30, 2, 17, 5 of the training set: not the order in which outputs are recorded."""
    index = torch.tensor([30, 2, 17, 5])
    whole = [
        torch.cat(parts)
        for parts in zip(*((b.x, b.y, b.target, b.weight) for b in task.batches(model)), strict=True)
    ]
    return Batch(*(part[index] for part in whole), index)


def test_lwf_distils_the_recorded_outputs_with_t_squared() -> None:
    model, task = make_model("test_resnet"), make_task()
    recorded, weight, _ = start_of(model, task)
    phase = first_phase("full + lwf", model, task, lwf={"weight": 0.5, "temperature": 3.0})
    batch = some(task, shaken(model).eval())
    head = model.extra["source_head"]  # shaken too: it trains along
    logits = numbers(model.eval_output(batch.x).features) @ numbers(head.weight).T + numbers(head.bias)
    assert not np.allclose(numbers(head.weight), weight)
    target = softmax(recorded[batch.index.numpy()] / 3)
    expected = 0.5 * 9 * -np.mean(np.sum(target * np.log(softmax(logits / 3)), axis=1))
    assert phase.loss(model, batch)["lwf"].item() == pytest.approx(expected, rel=1e-4)


def test_co_tuning_supervises_the_source_head_by_class_means() -> None:
    """On soft targets, so that mixup and label smoothing compose."""
    model, task = make_model("test_resnet"), make_task()
    p, y = softmax(start_of(model, task)[0]), task.train.y.numpy()
    relation = np.stack([p[y == k].mean(0) for k in range(CLASSES)])
    phase = first_phase("full + co_tuning", model, task, co_tuning={"strength": 1.7})
    batch = some(task, shaken(model).eval())
    batch = replace(batch, target=0.7 * batch.target + 0.1)
    head = model.extra["source_head"]
    logits = numbers(model.eval_output(batch.x).features) @ numbers(head.weight).T + numbers(head.bias)
    soft = numbers(batch.target) @ relation
    expected = 1.7 * -np.mean(np.sum(soft * np.log(softmax(logits)), axis=1))
    assert phase.loss(model, batch)["co_tuning"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["lwf", "co_tuning"])
def test_the_source_head_trains_along(name: str) -> None:
    phase = first_phase(f"full + head_x10 + {name}", model := make_model("test_resnet"))
    (group,) = (g for g in phase.train if g.name == "source_head")
    assert {id(p) for p in group.params} == {id(p) for p in model.extra["source_head"].parameters()}
    assert group.lr == next(g.lr for g in phase.train if not g.is_head), "at the backbone's rate"


@pytest.mark.parametrize("name", ["lwf", "co_tuning"])
def test_weights_without_their_classifier_are_refused(name: str) -> None:
    model = make_model("test_resnet")
    model._load_source_head = no_source_head
    with pytest.raises(UserError, match="classifier"):
        first_phase(f"full + {name}", model)


def test_co_tuning_calibrated_is_bayes_rule_on_a_logistic_regression() -> None:
    """As in the authors' code: softmax of the regression's coefficients, scaled by the best temperature, times p(s)."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    means = rng.normal(size=(CLASSES, SOURCE_CLASSES))
    y, y_val = np.arange(90) % CLASSES, np.arange(60) % CLASSES
    p, p_val = (softmax(means[k] + rng.normal(size=(len(k), SOURCE_CLASSES))) for k in (y, y_val))
    found = numbers(co_tuning.bayes(*map(torch.from_numpy, (p, y, p_val, y_val)), CLASSES))
    fits = [LogisticRegression(C=10.0**c, fit_intercept=False, max_iter=1000).fit(p, y) for c in range(-4, 5)]
    coefficients = max(fits, key=lambda fit: fit.score(p_val, y_val)).coef_

    def nll(scale: float) -> float:
        return -np.log(softmax(scale * p_val @ coefficients.T)[np.arange(len(y_val)), y_val]).mean()

    scale = min(np.geomspace(0.01, 100, 2001), key=nll)
    joint = softmax(scale * coefficients.T).T * np.concatenate([p, p_val]).mean(0)
    np.testing.assert_allclose(found, joint / joint.sum(1, keepdims=True), atol=2e-3)


def test_co_tuning_calibrated_also_works_for_two_classes_and_for_absent_ones() -> None:
    torch.manual_seed(0)
    p = torch.randn(40, SOURCE_CLASSES).softmax(-1)
    y = torch.arange(40) % 2
    found = co_tuning.bayes(p, y, p, torch.where(torch.arange(40) < 5, 2, y), 3)
    torch.testing.assert_close(found.sum(1), torch.tensor([1.0, 1.0, 0.0]))


# constraints and averages of the weights


def test_reg_sl_projects_each_layer_into_its_ball() -> None:
    model = make_model("test_resnet")
    start = {n: numbers(p).copy() for n, p in model.named_parameters()}
    phase = first_phase("full + reg_sl", model, reg_sl={"distance": 0.2})
    near = "net.layer1.0.conv1.weight"
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_((0.001 if name == near else 0.5) * torch.randn(p.shape))
    moved = {n: numbers(p).copy() for n, p in model.named_parameters()}
    for hook in phase.step_hooks:
        hook(model)
    for name, p in model.named_parameters():
        expected, change = moved[name], moved[name] - start[name]
        if p.ndim > 1 and not name.startswith("net.fc"):
            radius = 0.2 * np.linalg.norm(start[name])
            assert (np.linalg.norm(change) > radius) == (name != near)
            expected = start[name] + change * min(1, radius / np.linalg.norm(change))
        np.testing.assert_allclose(numbers(p), expected, rtol=1e-4, atol=1e-6, err_msg=name)


def walk(model: Model, phase: Phase, steps: int) -> list[dict[str, torch.Tensor]]:
    """Random steps in the training's place; the states after each, the first one's before."""
    states = [{k: v.clone() for k, v in model.net.state_dict().items()}]
    for _ in range(steps):
        with torch.no_grad():
            for tensor in model.net.state_dict().values():
                tensor.add_(torch.randn(tensor.shape).to(tensor) if tensor.is_floating_point() else 1)
        for hook in phase.step_hooks:
            hook(model)
        states.append({k: v.clone() for k, v in model.net.state_dict().items()})
    return states


def test_ema_is_the_closed_form_with_warm_up() -> None:
    model = make_model("test_resnet")
    phase = first_phase("full + ema", model, ema={"decay": 0.3})
    states = walk(model, phase, 6)
    decay = [min(0.3, (1 + t) / (10 + t)) for t in range(1, 7)]
    assert decay[0] < 0.3 == decay[-1], "both the warm-up and the constant part"
    shares = [np.prod(decay)] + [(1 - decay[i]) * np.prod(decay[i + 1 :]) for i in range(6)]
    average = phase.eval_weights()
    assert average.keys() == model.net.state_dict().keys()
    for name, tensor in average.items():
        if tensor.is_floating_point():
            expected = sum(w * numbers(s[name]) for w, s in zip(shares, states, strict=True))
            np.testing.assert_allclose(numbers(tensor), expected, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert tensor.item() == states[-1][name].item()


def test_ema_agrees_with_torch_once_warm() -> None:
    model = make_model("test_resnet")
    phase = first_phase("full + ema", model, ema={"decay": 0.1})
    theirs = torch.optim.swa_utils.AveragedModel(
        model.net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.1)
    )
    theirs.update_parameters(model.net)
    for _ in range(3):
        walk(model, phase, 1)
        theirs.update_parameters(model.net)
    for name, parameter in theirs.module.named_parameters():
        torch.testing.assert_close(phase.eval_weights()[name], parameter.detach(), msg=name)


def test_ema_is_what_is_evaluated_and_what_the_phase_ends_with() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=2)
    trainer, log = make_trainer(model, task)
    phase = next(gentle("full + ema").phases(model, task))
    trained: dict[str, torch.Tensor] = {}
    keep = phase.after_step(lambda m: trained.update({k: v.clone() for k, v in m.net.state_dict().items()}))
    trainer.fit(keep)
    final = model.net.state_dict()
    assert all(torch.equal(final[k], v) for k, v in phase.eval_weights().items())
    assert not torch.equal(final["fc.weight"], trained["fc.weight"])
    logits = trainer.predict(task.val)
    assert log[-1][Metric.VAL_NLL_EPOCH] == pytest.approx(
        F.cross_entropy(logits, task.val.y).item(), rel=1e-4
    )


# changes of the targets


def changed(expression: str, batch: Batch, seed: int = 0, **hyperparameters: dict[str, object]) -> Batch:
    phase = first_phase(expression, make_model("test_resnet"), **hyperparameters)
    torch.manual_seed(seed)
    for change in phase.batch_maps:
        batch = change(batch)
    return batch


def test_label_smoothing_agrees_with_torch() -> None:
    model, batch = make_model("test_vit").eval(), a_batch(6)
    phase = first_phase("full + label_smoothing", model, label_smoothing={"smoothing": 0.2})
    smooth = changed("full + label_smoothing", batch, label_smoothing={"smoothing": 0.2})
    expected = F.cross_entropy(model(batch.x), batch.y, label_smoothing=0.2).item()
    assert phase.loss(model, smooth)["ce"].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(smooth.y, batch.y) and batch.target.max() == 1


def three() -> Batch:
    """One image of each class, with class weights: `shares` says what was mixed in, and how much of it."""
    return replace(a_batch(3), weight=torch.tensor([1.0, 2.0, 4.0]))


def shares(mixed: Batch, batch: Batch) -> torch.Tensor:
    """[3, 3]: how much of the loss of each image of `three` is in that of each mixture."""
    return mixed.weight[:, None] * mixed.target / batch.weight


def test_mixup_mixes_images_and_their_weighted_losses_in_the_same_shares() -> None:
    batch, seen = three(), set()
    for seed in range(8):
        mixed = changed("full + mixup", batch, seed, mixup={"alpha": 1.0})
        found = shares(mixed, batch)
        torch.testing.assert_close(mixed.x, torch.einsum("ij,jchw->ichw", found, batch.x))
        torch.testing.assert_close(mixed.target.sum(1), torch.ones(3))
        torch.testing.assert_close(found.sum(1), torch.ones(3))
        assert torch.equal(mixed.y, batch.y)
        seen.add(found.max().item())
    assert len(seen) > 4, "every batch has shares of its own"


def test_mixup_draws_its_share_from_beta() -> None:
    """Var Beta(a, a) = 1 / (4 (2a + 1))."""
    phase, batch = first_phase("full + mixup", make_model("test_resnet"), mixup={"alpha": 0.5}), three()
    batch = replace(batch, images=batch.x[..., :1, :1])
    torch.manual_seed(0)
    found = (shares(phase.batch_maps[0](batch), batch)[0, 0].item() for _ in range(2000))
    drawn = [s for s in found if s < 1 - 1e-6]  # not those mixed with themselves
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.04)
    assert np.var(drawn) == pytest.approx(1 / 8, abs=0.012)


def test_cutmix_pastes_a_box_and_mixes_by_the_area_that_shows() -> None:
    batch, areas = three(), set()
    for seed in range(12):
        mixed = changed("full + cutmix", batch, seed)
        for i in range(3):
            found = shares(mixed, batch)[i]
            other = (found * (torch.arange(3) != i)).argmax().item()
            pasted = (mixed.x[i] != batch.x[i]).any(0)
            share = pasted.float().mean().item()
            assert found[i].item() == pytest.approx(1 - share, abs=1e-6)
            assert torch.equal(mixed.x[i][:, pasted], batch.x[other][:, pasted])
            rows, columns = pasted.any(1), pasted.any(0)
            assert pasted.sum() == rows.sum() * columns.sum(), "what is pasted is a rectangle"
            areas.add(round(share, 4))
        assert torch.equal(mixed.y, batch.y)
    assert len(areas) > 4


def test_cutmix_boxes_cover_the_share_that_was_drawn() -> None:
    """At a large alpha that is one half, where the border cuts nothing off: sides of sqrt(1/2), not 1/2."""
    mixtures = (changed("full + cutmix", three(), seed, cutmix={"alpha": 1e5}) for seed in range(30))
    pasted = [1 - shares(mixed, three())[0, 0] for mixed in mixtures]
    assert max(s.item() for s in pasted if s < 1) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_is_deterministic_and_leaves_the_batch_alone(name: str) -> None:
    batch, kept = a_batch(), a_batch()
    first, second, other = (changed(f"full + {name}", batch, seed) for seed in (1, 1, 2))
    assert torch.equal(first.x, second.x) and torch.equal(first.target, second.target)
    assert not torch.equal(first.x, other.x)
    assert torch.equal(batch.x, kept.x) and torch.equal(batch.target, kept.target)


# what makes no sense


@pytest.mark.parametrize(
    "expression",
    [
        "full + delta + weight_decay",
        "full + lwf + mixup",
        "full + lwf + cutmix",
        "full + lwf + co_tuning",
        "full + mixup + cutmix",
        "trans_tailor + delta",
        "trans_tailor + lwf",
        "trans_tailor + co_tuning",
        "full + stoch_norm + keep_norm_stats",
        "shared_prefix + keep_norm_stats",
        "shared_prefix + head_x10",
        "ia3 + weight_decay",
        "lora + tenth",
        "scratch + delta",
        "scratch + lwf",
        "linear_probe + bss",
        "linear_probe + stoch_norm",
        "linear_probe + reg_sl",
        "lora + stoch_norm",
        "lora + reg_sl",
    ],
)
def test_meaningless_compositions_are_refused(expression: str) -> None:
    with pytest.raises(compose.Meaningless):
        composed(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "full + delta + l2_sp + mixup",
        "full + co_tuning + mixup",
        "full + label_smoothing + cutmix",
        "full + bss + delta",
    ],
)
def test_these_compose(expression: str) -> None:
    model, task = make_model("test_resnet"), make_task(images=12, epochs=1)
    trainer, log = make_trainer(model, task)
    trainer.run(gentle(expression))
    assert all(np.isfinite(value) for value in log[-1].values())
