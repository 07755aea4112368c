"""Changes of structure against independent computations: what is cut off, added, merged and pruned."""

from __future__ import annotations

import copy
import statistics
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.core.errors import UserError
from bench.data.task import Task
from bench.methods import freeze
from bench.models.model import Model
from bench.planning import compose
from bench.training.cost import forward_flops
from bench.training.run.head_bias import init_head_bias
from strategies.layers import channels, cutting, filters
from strategies.layers.blocks import block_names
from strategies.layers.spot_tune import Policy, gumbel
from tests.support.strategy_samples import (
    CLASSES,
    NETWORKS,
    SIZE,
    TRAIN,
    a_batch,
    composed,
    first_phase,
    gentle,
    make_model,
    make_task,
    make_trainer,
)

ADAPTERS = ["lora", "ia3"]


def parameters(model: Model) -> int:
    return sum(p.numel() for p in model.parameters())


def images(n: int = 4, size: int = SIZE) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(6))


def shaken(module: nn.Module, by: float = 0.1) -> nn.Module:
    """Every parameter moved a little, as training does."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(by * torch.randn(p.shape, generator=generator))
    return module


def logits(model: Model, x: torch.Tensor) -> torch.Tensor:
    return model.eval_output(x).logits


def ratio_of_times(a: Model, b: Model, x: torch.Tensor) -> float:
    """Processor time of b's forward pass over that of a: the two in turn, medians."""
    seconds: dict[Model, list[float]] = {a: [], b: []}
    for _ in range(9):
        for model, found in seconds.items():
            start = time.process_time()
            model.eval_output(x)
            found.append(time.process_time() - start)
    return statistics.median(seconds[b][1:]) / statistics.median(seconds[a][1:])


# truncation


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("k", [1, 2])
def test_truncated_features_are_those_that_timm_takes_below_the_top(network: str, k: int) -> None:
    model, whole, x = make_model(network), make_model(network), images()
    first_phase("full + truncate", model, truncate={"k": k})
    indices = [len(whole.net.feature_info) - 1 - k]
    norm = network == "test_vit"  # its last norm is kept, and its head reads the class token
    kwargs = {"return_prefix_tokens": True} if norm else {}
    (taken,) = whole.eval().net.forward_intermediates(
        x, indices, norm=norm, intermediates_only=True, **kwargs
    )
    expected = taken[1][:, 0] if norm else taken.mean(dim=(2, 3))
    torch.testing.assert_close(model.eval_output(x).features, expected.detach())
    assert logits(model, x).shape == (4, CLASSES)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_truncated_network_is_smaller_and_whole_in_every_respect(network: str) -> None:
    model, whole, x = make_model(network), make_model(network), images()
    phase = first_phase("full + truncate", model)
    assert parameters(model) < parameters(whole) and forward_flops(model) < forward_flops(whole)
    assert len(model.stages) == len(whole.stages) - 1
    assert sum(p.numel() for p in phase.params) == parameters(model)
    before = logits(model, x)
    assert before.shape == (4, CLASSES) and set(model.map_names()) < set(whole.map_names())
    freeze.apply(model, phase)
    shaken(model.net)
    reference = model.pretrained_copy()
    backbone = [n for n in model.pretrained if "num_batches" not in n]
    state, original = reference.state_dict(), whole.state_dict()
    assert backbone and all(torch.equal(state[n], original[n]) for n in backbone)


@pytest.mark.parametrize("network", NETWORKS)
def test_truncate_counts_the_same_stages_as_freezing_does(network: str) -> None:
    """An EfficientNet has more stages than resolutions, by which timm counts."""
    model, whole = make_model(network), make_model(network)
    first_phase("full + truncate", model, truncate={"k": 2})
    assert len(model.stages) == len(whole.stages) - 2
    for ours, theirs in zip(model.stages, whole.stages, strict=False):
        kept = [n for n in ours.param_names if not n.startswith("net.norm.")]  # a ViT keeps its last norm
        assert kept == list(theirs.param_names)


def test_truncate_takes_one_stage_off_where_timm_counts_by_resolution() -> None:
    model, whole, x = make_model("mobilenetv3_small_050"), make_model("mobilenetv3_small_050"), images()
    assert len(whole.stages) > len(whole.net.feature_info) + 1
    first_phase("full + truncate", model)
    last = whole.eval().net.blocks[-2]
    taken: list[torch.Tensor] = []
    last.register_forward_hook(lambda module, args, out: taken.append(out))
    whole(x)
    torch.testing.assert_close(model.eval_output(x).features, taken[0].detach().mean(dim=(2, 3)))
    assert len(model.stages) == len(whole.stages) - 1


def test_truncate_refuses_what_cannot_go() -> None:
    for k in (0, 5, 99):
        with pytest.raises(UserError, match=r"k is .* 1\.\.4 can go"):
            first_phase("full + truncate", make_model("test_resnet"), truncate={"k": k})
    with pytest.raises(UserError, match="cannot be cut off this ConvNeXt"):  # its stem is no stage of timm's
        first_phase("full + truncate", make_model("test_convnext"), truncate={"k": 4})


def test_scratch_and_truncate_make_a_random_smaller_network() -> None:
    model, whole = make_model("test_resnet"), make_model("test_resnet")
    torch.manual_seed(9)
    phase = first_phase("scratch + truncate", model)
    same = [n for n, p in model.named_parameters() if p.ndim > 1 and "fc" not in n]
    assert same and not any(torch.equal(model.get_parameter(n), whole.get_parameter(n)) for n in same)
    assert len(phase.params) == len(list(model.parameters())) < len(list(whole.parameters()))


def test_surgery_comes_first_however_the_expression_is_written() -> None:
    one, other = (
        composed(f"full + {rest}") for rest in ("mlp_head + l2_sp + truncate", "truncate + l2_sp + mlp_head")
    )
    assert [type(t).__name__ for t in one.transforms] == [type(t).__name__ for t in other.transforms]
    model = make_model("test_resnet")
    next(other.phases(model, make_task()))
    assert model.classifier[0].weight.shape[1] == 192 and len(model.stages) == 4
    x = images()
    torch.testing.assert_close(model.eval().classifier(model.eval_output(x).features), logits(model, x))


def test_truncation_saves_time() -> None:
    model, whole = make_model("test_vit"), make_model("test_vit")
    first_phase("full + truncate", model, truncate={"k": 3})
    assert ratio_of_times(whole.eval(), model.eval(), images(64)) < 0.9  # half of the blocks


# MLP head


def test_mlp_head_is_two_layers_on_the_old_features() -> None:
    model = make_model("test_efficientnet").eval()
    x, features = images(), make_model("test_efficientnet").eval_output(images()).features
    phase = first_phase("linear_probe + mlp_head", model, mlp_head={"hidden": 40, "dropout": 0.3})
    w1, b1, w2, b2 = phase.params
    assert w1.shape == (40, 256) and w2.shape == (CLASSES, 40)
    expected = (features @ w1.T + b1).clamp(min=0) @ w2.T + b2
    torch.testing.assert_close(logits(model, x), expected)
    freeze.apply(model, phase)
    assert not torch.equal(model(x), model(x)), "its dropout trains with it"


def test_mlp_head_knows_its_limits() -> None:
    for hyperparameters in ({"hidden": 0}, {"dropout": 1.0}):
        with pytest.raises(UserError, match="mlp_head"):
            first_phase("full + mlp_head", make_model("test_vit"), mlp_head=hyperparameters)
    with pytest.raises(compose.Meaningless, match="gradient"):
        composed("logreg + mlp_head")


def test_the_prior_goes_into_the_last_bias_of_a_deeper_head() -> None:
    model, task = make_model("test_resnet"), make_task()
    few = replace(task, train=task.train.subset(torch.tensor([0, 3, 6, 1, 4, 2])))
    prior = partial(init_head_bias, task=few, train=replace(TRAIN, head_bias="prior"))
    model.on_new_head = prior
    first_phase("full + mlp_head", model)
    torch.testing.assert_close(model.classifier[3].bias.detach(), torch.tensor([3.0, 2.0, 1.0]).div(6).log())
    assert model.classifier[0].bias.abs().max() > 0


# adapters


@pytest.mark.parametrize("strategy", ADAPTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_adapters_start_as_the_pretrained_network_and_merge_into_one_like_it(
    strategy: str, network: str
) -> None:
    model, plain, x = make_model(network), make_model(network), images()
    strategies = composed(strategy)
    next(strategies.phases(model, make_task()))
    torch.testing.assert_close(logits(model, x), logits(plain, x))
    assert parameters(model) > parameters(plain)
    adapters = [p for n, p in model.named_parameters() if "lora_" in n or "ia3_" in n]
    for p in adapters:
        shaken(nn.ParameterList([p]), 0.2 if strategy == "ia3" else 0.05)
    adapted = logits(model, x)
    assert (adapted - logits(plain, x)).abs().max() > 1e-3
    strategies.finish(model)
    assert model.state_dict().keys() == plain.state_dict().keys() == make_model(network).state_dict().keys()
    assert parameters(model) == parameters(plain) and forward_flops(model) == forward_flops(plain)
    torch.testing.assert_close(logits(model, x), adapted, rtol=1e-5, atol=1e-5)
    assert not any("lora" in type(m).__module__ or "ia3" in type(m).__module__ for m in model.modules())
    assert model.pretrained.keys() == plain.pretrained.keys()
    assert all(torch.equal(model.pretrained[n], w0) for n, w0 in plain.pretrained.items())


def test_lora_is_a_low_rank_update_of_the_weights() -> None:
    """Against the same network with W + alpha/r BA by einsum in its weights."""
    for network in ("test_resnet", "test_vit"):
        model, by_hand = make_model(network), make_model(network)
        first_phase("lora", model, lora={"rank": 4, "alpha": 6.0})
        shaken(nn.ParameterList(p for n, p in model.named_parameters() if "lora_" in n))
        layers = [
            n.removesuffix(".lora_A.default")
            for n, _ in model.named_modules()
            if n.endswith("lora_A.default")
        ]
        for layer in layers:
            a, b = (model.get_parameter(f"{layer}.lora_{m}.default.weight").detach().double() for m in "AB")
            assert len(a) == 4
            update = (b @ a) if a.ndim == 2 else torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)
            with torch.no_grad():
                by_hand.get_parameter(f"{layer}.weight").add_(6.0 / 4 * update)
        everything = {n for n, m in by_hand.named_modules() if type(m) in (nn.Conv2d, nn.Linear)}
        assert everything - set(layers) == {n for n, m in by_hand.named_modules() if m is by_hand.classifier}
        torch.testing.assert_close(logits(model, images()), logits(by_hand, images()), rtol=1e-4, atol=1e-4)


def test_ia3_scales_the_outputs_of_layers() -> None:
    model, by_hand = make_model("test_convnext"), make_model("test_convnext")
    first_phase("ia3", model)
    shaken(nn.ParameterList(p for n, p in model.named_parameters() if "ia3_" in n))
    scales = {n.removesuffix(".ia3_l.default"): p for n, p in model.named_parameters() if "ia3_" in n}
    hooked = 0
    for name, layer in by_hand.named_modules():
        if name in scales:
            scale = scales[name].flatten()
            scale = scale[:, None, None] if isinstance(layer, nn.Conv2d) else scale
            layer.register_forward_hook(lambda layer, args, out, scale=scale: out * scale)
            hooked += 1
    assert hooked == len(scales) and any("conv_dw" in name for name in scales)
    torch.testing.assert_close(logits(model, images()), logits(by_hand, images()))


def test_lora_leaves_what_peft_would_merge_wrongly() -> None:
    model = make_model("test_resnet", output_stride=8)  # dilated in its last stages
    strategy = composed("lora")
    next(strategy.phases(model, make_task()))
    adapted = {n for n, _ in model.named_modules() if n.endswith("lora_A.default")}
    dilated = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)}
    assert dilated and not any(
        name.startswith(d.removesuffix(".base_layer")) for d in dilated for name in adapted
    )
    names = [n for n, _ in make_first("lora", "test_efficientnet").named_parameters() if "conv_dw" in n]
    assert names and not any("lora" in n for n in names), "depthwise convolutions stay frozen"


def make_first(expression: str, network: str) -> Model:
    model = make_model(network)
    first_phase(expression, model)
    return model


@pytest.mark.parametrize("strategy", ADAPTERS)
def test_adapters_behind_a_zero_norm_are_refused_because_they_would_get_no_gradient(strategy: str) -> None:
    model = make_model("test_resnet", zero_init_last=True)
    with pytest.raises(UserError, match=r"layer1\.0\.bn2.*zero_init_last"):
        first_phase(strategy, model)
    phase = first_phase(strategy, fine := make_model("test_resnet"))
    freeze.apply(fine, phase)
    phase.loss(fine, a_batch())["ce"].backward()
    reached = [p.grad.abs().sum() > 0 for n, p in fine.named_parameters() if "lora_B" in n or "ia3_l" in n]
    assert reached and all(reached)


def test_the_reference_of_an_adapted_network_is_the_pretrained_one() -> None:
    model, plain, x = make_model("test_vit"), make_model("test_vit"), images()
    first_phase("lora", model)
    shaken(model.net)
    features = model.pretrained_copy().eval_output(x).features
    torch.testing.assert_close(features, plain.eval_output(x).features)


@pytest.mark.parametrize("choice", ["best", "last"])
def test_what_is_tested_and_kept_is_the_merged_network(choice: str) -> None:
    model, task = make_model("test_convnext"), make_task(epochs=3)
    trainer, _ = make_trainer(model, task, replace(TRAIN, evaluate=choice))
    trainer.snapshots = True
    seen: list[torch.Tensor] = []
    predict = trainer.predict
    trainer.predict = lambda images: seen.append(predict(images)) or seen[-1]  # type: ignore[method-assign,func-returns-value]
    trainer.run(gentle("lora"))
    kept = trainer.best if choice == "best" else trainer.last
    torch.testing.assert_close(predict(task.val), seen[kept.epoch - 1], rtol=1e-4, atol=1e-4)
    fresh = make_model("test_convnext")
    fresh.net.load_state_dict(kept.weights)
    torch.testing.assert_close(logits(fresh, images()), logits(model, images()))


@pytest.mark.parametrize(
    ("strategy", "module"), [("lora", "peft"), ("ia3", "peft"), ("trans_tailor", "torch_pruning")]
)
def test_a_missing_library_is_named_with_its_cure(
    strategy: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UserError, match=rf"{strategy} needs {module}.*pip install 'finetune-bench\[structure\]'"
    ):
        first_phase(strategy, make_model("test_resnet"))


def test_a_lora_without_rank_is_refused() -> None:
    with pytest.raises(UserError, match="rank is 0"):
        first_phase("lora", make_model("test_vit"), lora={"rank": 0})


# SpotTune


def test_gumbel_sampling_agrees_with_torch() -> None:
    logits = torch.randn(50, 7, 2, generator=torch.Generator().manual_seed(1))
    upstream = torch.randn(50, 7, 2, generator=torch.Generator().manual_seed(2))
    found = []
    for sample in (gumbel, partial(F.gumbel_softmax, hard=True)):
        x = logits.clone().requires_grad_()
        torch.manual_seed(5)
        y = sample(x, 5.0)
        (gradient,) = torch.autograd.grad((y * upstream).sum(), x)
        found.append((y.detach(), gradient))
    torch.testing.assert_close(found[0], found[1])


def test_the_policy_draws_by_its_probabilities_and_decides_by_the_likelier() -> None:
    policy = Policy(2, 5.0)
    with torch.no_grad():
        policy.logits.weight.zero_()
        policy.logits.bias.copy_(torch.tensor([0.3, 0.7, 0.9, 0.1]).log())  # frozen .3, then frozen .9
    torch.manual_seed(0)
    policy.decide(policy, (torch.zeros(4000, 3, 8, 8),))
    assert policy.actions.mean(0)[:, 0].tolist() == pytest.approx([0.3, 0.9], abs=0.03)
    policy.eval().decide(policy, (torch.zeros(5, 3, 8, 8),))
    assert policy.actions.tolist() == [[[0, 1], [1, 0]]] * 5


@pytest.mark.parametrize("network", NETWORKS)
def test_each_image_goes_through_the_blocks_that_its_policy_picks(network: str) -> None:
    """Against plain networks put together by hand, one for each image."""
    model, plain, x = make_model(network), make_model(network), images(3)
    names = block_names(plain.net)
    first_phase("spot_tune", model)
    torch.testing.assert_close(logits(model, x), logits(plain, x), msg="two equal copies change nothing")
    tuned = shaken(copy.deepcopy(plain))
    for name in names:
        spot = model.net.get_submodule(name)
        spot.tuned.load_state_dict(tuned.net.get_submodule(name).state_dict())
    picks = torch.randint(0, 2, (3, len(names)), generator=torch.Generator().manual_seed(3))
    assert len(names) >= 4 and picks.unique(dim=0).shape[0] == 3
    policy = model.net.policy
    policy.forward = lambda x: F.one_hot(picks, 2).float()
    found = logits(model, x)
    for i, row in enumerate(picks.tolist()):
        mixed = copy.deepcopy(plain)
        for name, pick in zip(names, row, strict=True):
            if pick:
                mixed.net.set_submodule(name, tuned.net.get_submodule(name))
        torch.testing.assert_close(found[i : i + 1], logits(mixed, x[i : i + 1]), rtol=1e-4, atol=1e-5)


def test_spot_tune_trains_the_policy_and_one_copy_beside_a_frozen_one() -> None:
    model = make_model("test_resnet")
    phase = first_phase("spot_tune", model, spot_tune={"lr": 0.2, "policy_lr": 0.03, "temperature": 2.0})
    assert model.net.policy.temperature == 2
    rates = {g.name: g.lr for g in phase.train}
    assert rates.pop("policy") == 0.03 and set(rates.values()) == {0.2}
    freeze.check(model, phase)
    freeze.apply(model, phase)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all(".frozen." in n for n in frozen)
    assert not any(m.training for n, m in model.named_modules() if ".frozen" in n)
    torch.manual_seed(0)
    phase.loss(model, a_batch(16))["ce"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.net.policy.parameters())


def test_a_spot_tuned_network_can_be_copied_saved_and_loaded() -> None:
    model, task, x = make_model("test_efficientnet"), make_task(epochs=1), images()
    trainer, _ = make_trainer(model, task)
    trainer.run(gentle("spot_tune"))
    twin = copy.deepcopy(model)
    assert twin.net.blocks[0][0].policy[0] is twin.net.policy is not model.net.policy
    torch.testing.assert_close(logits(twin, x), logits(model, x))
    fresh = make_model("test_efficientnet", seed=3)
    first_phase("spot_tune", fresh)
    fresh.net.load_state_dict(model.net.state_dict())
    torch.testing.assert_close(logits(fresh, x), logits(model, x))
    assert model.net.policy.actions is None, "nothing of a pass is left behind"
    assert forward_flops(model) > 1.5 * forward_flops(make_model("test_efficientnet"))


def test_l2_sp_under_spot_tune_is_the_distance_of_the_tuned_copies() -> None:
    model = make_model("test_resnet")
    phase = first_phase("spot_tune + l2_sp", model, l2_sp={"alpha": 1.0, "beta": 0.0})
    assert phase.loss(model, a_batch())["l2_sp"].item() == 0
    with torch.no_grad():
        model.net.layer1[0].tuned.conv1.weight.add_(0.1)
    expected = 0.5 * 0.01 * model.net.layer1[0].tuned.conv1.weight.numel()
    assert phase.loss(model, a_batch())["l2_sp"].item() == pytest.approx(expected, rel=1e-4)


def test_spot_tune_refuses_networks_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert block_names(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))) == []
    with pytest.raises(UserError, match="temperature is 0"):
        first_phase("spot_tune", make_model("test_vit"), spot_tune={"temperature": 0.0})
    monkeypatch.setattr("strategies.layers.blocks.block_names", lambda net: [])
    monkeypatch.setattr("strategies.layers.blocks.is_composite", lambda module: False)
    with pytest.raises(UserError, match="no blocks"):
        first_phase("spot_tune", make_model("test_resnet"))


# pruning


def weight_norms(model: Model) -> filters.Scores:
    return {
        n: m.weight.detach().flatten(1).norm(dim=1).tolist() for n, m in filters.filter_layers(model).items()
    }


def pruned(model: Model, share: float) -> Model:
    work = sum(cutting.multiply_adds(model).values())
    cutting.cut(model, weight_norms(model), (1 - share) * work)
    return model


def test_a_filters_score_is_its_scale_times_the_slope_of_the_loss() -> None:
    """Against central differences of the loss over the same images, in double precision."""
    model, task = make_model("test_efficientnet").double().eval(), make_task(images=12)
    batch = next(task.batches(model))
    batch = replace(
        batch, images=batch.x.double(), target=batch.target.double(), weight=batch.weight.double()
    )
    layers = filters.filter_layers(model)
    generator = torch.Generator().manual_seed(8)
    scales = {
        n: (1 + 0.2 * torch.randn(len(m.weight), generator=generator)).double().requires_grad_()
        for n, m in layers.items()
    }

    def loss() -> float:
        with torch.no_grad():
            return F.cross_entropy(model(batch.x), batch.y).item()

    with filters.scaled(model, scales):
        scores = filters.importance(model, scales, [batch])
        name = "blocks.3.0.conv_pw"
        slopes = []
        for i in range(8):
            values = []
            for step in (1e-5, -1e-5):
                scales[name].data[i] += step
                values.append(loss())
                scales[name].data[i] -= step
            slopes.append((values[0] - values[1]) / 2e-5)
    expected = torch.tensor(slopes, dtype=torch.float64).mul(scales[name].detach()[:8]).abs()
    found = torch.tensor(scores[name][:8], dtype=torch.float64)
    assert torch.tensor(scores[name]).mean().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(found / found.sum(), expected / expected.sum(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_absorbed_scales_leave_the_network_as_it_was_with_them(network: str) -> None:
    model, x = make_model(network), images()
    scales = {n: torch.rand(len(m.weight)) + 0.5 for n, m in filters.filter_layers(model).items()}
    with filters.scaled(model, scales):
        expected = logits(model, x)
    before = logits(model, x)
    filters.absorb(model, scales)
    torch.testing.assert_close(logits(model, x), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, expected)


@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet"])
def test_a_pruned_network_computes_what_one_with_silenced_filters_does(network: str) -> None:
    """The filters that went, and their normalisation, set to zero in the whole network instead."""
    model, x = make_model(network), images()
    shaken(model)
    masked = copy.deepcopy(model)
    gone: list[channels.Unit] = []
    modify = model.modify
    model.modify = lambda change: gone.append(change.__closure__[0].cell_contents) or modify(change)  # type: ignore[assignment]
    pruned(model, 0.3)
    assert parameters(model) < parameters(masked)
    with torch.no_grad():
        for site, indices in gone[0].items():
            if site.output:
                for p in masked.net.get_submodule(site.name).parameters(recurse=False):
                    p[indices] = 0
    torch.testing.assert_close(logits(model, x), logits(masked, x), rtol=1e-4, atol=1e-5)


def test_what_is_cut_has_the_lowest_scores_of_all_layers() -> None:
    model = make_model("test_vit")
    scores = {n: [float(i)] * len(m.weight) for i, (n, m) in enumerate(filters.filter_layers(model).items())}
    least = [f"blocks.{i}.mlp.fc1" for i in (4, 1)]
    for rank, name in enumerate(least):
        scores[name] = [-2.0 + rank + 1e-3 * j for j in range(len(scores[name]))]
    kept = model.net.get_submodule(least[0]).weight.detach().clone()
    work = sum(cutting.multiply_adds(model).values())
    cutting.cut(model, scores, 0.93 * work)
    sizes = {n: len(m.weight) for n, m in filters.filter_layers(model).items()}
    whole = {n: len(m.weight) for n, m in filters.filter_layers(make_model("test_vit")).items()}
    changed = {n for n in sizes if sizes[n] < whole[n]}
    assert changed == set(least) and sizes[least[0]] == 96, "half of the least layer, then the next one"
    assert torch.equal(model.net.get_submodule(least[0]).weight, kept[96:]), (
        "those with the highest scores stay"
    )
    assert sum(cutting.multiply_adds(model).values()) <= 0.93 * work


def test_each_group_of_a_grouped_convolution_loses_as_many_channels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=2), nn.Conv2d(12, 4, 1)).eval()
    masked, x = copy.deepcopy(net), images(2, 8)
    (second, first) = channels.couplings(net, x[:1], [net[2]])  # from the top down
    assert (len(first), len(second)) == (4, 6)
    gone = channels.together([first[1], second[0], second[5]])
    channels.remove(net, gone)
    assert (net[0].out_channels, net[1].in_channels, net[1].out_channels, net[2].in_channels) == (6, 6, 8, 8)
    with torch.no_grad():
        for layer, indices in ((0, [1, 5]), (1, [0, 6, 5, 11])):
            for p in masked[layer].parameters():
                p[indices] = 0
    torch.testing.assert_close(net(x), masked(x))


@pytest.mark.parametrize("network", NETWORKS)
def test_trans_tailor_ends_with_a_smaller_network(network: str) -> None:
    model, task = make_model(network), make_task(epochs=5)
    whole_flops, whole_parameters = forward_flops(model), parameters(model)
    trainer, log = make_trainer(model, task)
    strategy = composed(
        "trans_tailor", trans_tailor={"lr": 3e-3, "rounds": 2, "share": 0.25, "tolerance": 1.0}
    )
    trainer.run(strategy)
    assert (
        forward_flops(model) <= 0.76 * whole_flops
    )  # of a ViT's, attention products are not counted as work
    assert parameters(model) < 0.99 * whole_parameters
    assert len(log) == 5 and "scales" not in model.extra and len(list(model.extra)) == 0
    assert not any(layer._forward_hooks for layer in filters.filter_layers(model).values())
    state, reference = model.state_dict(), model.pretrained
    assert all(state[n].shape == tensor.shape for n, tensor in reference.items())
    assert logits(model.pretrained_copy(), images()).shape == (4, CLASSES)


def test_the_pretrained_weights_are_pruned_alike() -> None:
    """Cut before any training, the network is its own reference; and what is left of w0 is a part of it."""
    model, whole = pruned(make_model("test_resnet"), 0.3), make_model("test_resnet")
    state = model.state_dict()
    assert all(torch.equal(state[n], w0) for n, w0 in model.pretrained.items())
    originals = {tuple(row.flatten()[:3].tolist()) for row in whole.get_parameter("net.conv1.0.weight")}
    left = {tuple(row.flatten()[:3].tolist()) for row in model.pretrained["net.conv1.0.weight"]}
    assert left < originals


class Judged(Task):
    """A task whose validation accuracies are given."""

    def accuracy(self, model: Model, images: object) -> float:
        return self.__dict__["given"].pop(0)


@pytest.mark.parametrize(("given", "cuts"), [([0.9, 0.9, 0.9], 3), ([0.9, 0.898, 0.7], 1), ([0.5, 0.4], 0)])
def test_pruning_stops_and_takes_the_last_cut_back_where_accuracy_falls(
    given: list[float], cuts: int
) -> None:
    model, task = make_model("test_convnext"), make_task(images=12, epochs=8)
    judged = Judged(**vars(task))
    judged.__dict__["given"] = list(given)
    trainer, _ = make_trainer(model, judged)
    sizes, epochs = [], 0
    for phase in gentle("trans_tailor").phases(model, judged):
        trainer.fit(phase)
        if not phase.preparation:
            sizes.append(parameters(model))
            epochs += phase.epochs
    seen = sorted(set(sizes), reverse=True)
    assert epochs == 8 and sizes[-1] == ([*seen, None][cuts])
    assert sizes[0] == parameters(make_model("test_convnext"))
    assert model.pretrained.keys() <= model.state_dict().keys()
    assert all(model.state_dict()[n].shape == w0.shape for n, w0 in model.pretrained.items())


def test_scales_are_learned_with_the_network_frozen() -> None:
    model, task = make_model("test_resnet"), make_task(images=12, epochs=2)
    trainer, _ = make_trainer(model, task)
    phases = gentle("trans_tailor").phases(model, task)
    trainer.fit(next(phases))
    scales = next(phases)
    assert scales.preparation and [g.name for g in scales.train] == ["scales"]
    assert sum(p.numel() for p in scales.params) == sum(
        len(m.weight) for m in filters.filter_layers(model).values()
    )
    before = {n: v.clone() for n, v in model.net.state_dict().items()}
    trainer.fit(scales)
    assert all(torch.equal(v, before[n]) for n, v in model.net.state_dict().items())
    assert any((p != 1).any() for p in scales.params)


def test_what_the_scales_learned_stays_in_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing cut, the round goes on from the network as it was under its scales."""
    monkeypatch.setattr(cutting, "cut", lambda *args: None)
    monkeypatch.setattr(cutting, "rehearse", lambda *args: 1.0)
    model, task, x = make_model("test_vit"), make_task(images=12, epochs=2), images()
    trainer, _ = make_trainer(model, task)
    phases = gentle("trans_tailor").phases(model, task)
    for _ in range(2):
        trainer.fit(next(phases))
    with torch.no_grad():
        for scale in model.extra["scales"]:
            scale.uniform_(0.5, 1.5)
    expected = logits(model, x)
    next(phases)
    torch.testing.assert_close(logits(model, x), expected, rtol=1e-4, atol=1e-5)


def test_pruning_saves_time() -> None:
    model, whole = pruned(make_model("test_convnext"), 0.5), make_model("test_convnext")
    x = images(16, 96).contiguous(memory_format=torch.channels_last)
    assert ratio_of_times(whole, model, x) < 0.9  # half of the work


def test_trans_tailor_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UserError, match="two epochs"):
        first_phase("trans_tailor", make_model("test_resnet"), make_task(epochs=1))
    with pytest.raises(UserError, match="NormFreeNet"):
        first_phase("trans_tailor", make_model("test_nfnet"))
    with pytest.raises(UserError, match="more than can be cut"):
        first_phase("trans_tailor", make_model("test_vit"), trans_tailor={"share": 0.5, "rounds": 1})
