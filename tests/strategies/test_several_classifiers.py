"""Networks with several classifiers: whatever votes in a prediction was fitted, or the combination is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.models.build import build
from bench.models.model import Model
from bench.planning import compose
from bench.similarity.features import extract
from bench.storage.places import Places
from bench.training.run.head_bias import init_head_bias
from bench.training.run.preflight import preflight
from tests.support.strategy_samples import (
    CLASSES,
    DISTILLED,
    SMALLER,
    TRAIN,
    a_batch,
    composed,
    first_phase,
    make_model,
    make_task,
    make_trainer,
)

TINY = SMALLER[DISTILLED]


def trained(
    expression: str, network: str = DISTILLED, size: int | None = None, **hyperparameters: dict[str, object]
) -> Model:
    model, task = make_model(network), make_task()
    trainer, _ = make_trainer(model, task)
    trainer.run(composed(expression, **hyperparameters))
    return model


@pytest.mark.parametrize("network", [DISTILLED, "resnetv2_18", "dla46x_c"])
def test_logreg_is_what_the_network_predicts(network: str) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    start, task = make_model(network), make_task()
    model = trained("logreg", network)
    (z, y), (z_val, y_val) = (task.features(start, images) for images in task.disjoint)
    scaler = StandardScaler().fit(z)
    best = max(
        (
            LogisticRegression(C=c, max_iter=1000, tol=1e-5).fit(scaler.transform(z), y)
            for c in np.logspace(-6, 4, 41)
        ),
        key=lambda fit: fit.score(scaler.transform(z_val), y_val),
    )
    expected = best.score(scaler.transform(z_val), y_val)
    assert task.accuracy(model, task.val) == pytest.approx(expected, abs=1e-6)
    for head, before in zip(model.classifiers, start.classifiers, strict=True):
        assert not torch.equal(head.weight, before.weight), "one classifier is as random as it was"


def test_the_similarity_features_are_of_all_classifiers() -> None:
    model, task = make_model(DISTILLED), make_task()
    found = extract(model, task.train)
    tokens: list[torch.Tensor] = []
    handles = [
        head.register_forward_pre_hook(lambda module, args: tokens.append(args[0]))
        for head in model.classifiers
    ]
    batch = next(task.batches(model))
    model.eval_output(batch.x)
    for handle in handles:
        handle.remove()
    expected = torch.cat(tokens, dim=1)
    assert expected.shape[1] == 2 * TINY["embed_dim"] == model.feature_dim == found.top.shape[1]
    np.testing.assert_allclose(found.top[: len(batch.y)], expected.numpy(), atol=1e-5)


def test_delta_starts_from_and_decays_all_classifiers() -> None:
    model, task = make_model(DISTILLED), make_task()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer, _ = make_trainer(model, task)
    phases = composed("full + delta", delta={"attention": True, "head_epochs": 1}).phases(model, task)
    trainer.fit(next(phases))
    assert not torch.equal(model.net.head_dist.weight, before["net.head_dist.weight"])
    phase = next(phases)
    for name in model.head.param_names:
        assert torch.equal(model.state_dict()[name], before[name]), name
    terms = phase.loss(model, a_batch())
    decay = 0.01 * 0.5 * sum(p.square().sum() for p in model.stage_parameters(model.head))
    assert len(model.head.param_names) == 4
    torch.testing.assert_close(terms["delta"], decay, atol=1e-4, rtol=1e-3)  # the maps have not moved yet


def test_mlp_head_takes_the_place_of_each() -> None:
    model = make_model(DISTILLED)
    first_phase("full + mlp_head", model, mlp_head={"hidden": 8})
    assert [type(head).__name__ for head in model.classifiers] == ["Sequential", "Sequential"]
    assert {"net.head.0.weight", "net.head_dist.0.weight"} <= {*model.head.param_names}


@pytest.mark.parametrize("network", [DISTILLED, "levit_128s", "repvit_m1"])
def test_the_head_starts_at_the_prior(network: str) -> None:
    """Of all classifiers, of their output layers alone: a layer of as many channels as classes is not one."""
    spec = BackboneSpec(network, "random", kwargs=TINY if network == DISTILLED else {})
    classes = {DISTILLED: 48, "levit_128s": 384, "repvit_m1": 384}[network]  # as wide as the features
    model = build(spec, classes, 64)
    widths = {name: p.clone() for name, p in model.named_parameters() if p.shape == (classes,)}
    y = torch.arange(classes).repeat(2)
    task = make_task()
    task = type(task)(type(task.train)(task.train.stored[torch.zeros_like(y)], y), task.val, classes, 1, 12)
    init_head_bias(model, task, TrainSpec(head_bias="prior"))
    changed = {name for name, before in widths.items() if not torch.equal(model.get_parameter(name), before)}
    ends = {
        DISTILLED: ["head", "head_dist"],
        "levit_128s": ["head.linear", "head_dist.linear"],
        "repvit_m1": ["head.head.l", "head.head_dist.l"],
    }
    assert changed == {f"net.{end}.bias" for end in ends[network]}
    expected = torch.full((classes,), 1 / classes).log()
    for name in changed:
        torch.testing.assert_close(model.get_parameter(name).detach(), expected)


def test_an_auxiliary_classifier_adds_nothing_to_the_prior() -> None:
    model = build(BackboneSpec("volo_d1_224", "random"), CLASSES, 64)
    init_head_bias(model, make_task(), TrainSpec(head_bias="prior"))
    assert model.net.head.bias.detach().exp().sum() == pytest.approx(1, rel=1e-5)
    assert (model.net.aux_head.bias == 0).all()


def kept(
    folder: Path, network: str, classes: int, lacking: str = "", **kwargs: int
) -> tuple[BackboneSpec, Model]:
    torch.manual_seed(5)
    source = build(BackboneSpec(network, "random", kwargs=kwargs), classes, 64)
    state = {
        n.removeprefix("net."): t for n, t in source.state_dict().items() if not lacking or lacking not in n
    }
    save_file(state, folder / "source.safetensors")
    spec = BackboneSpec(network, "checkpoint", str(folder / "source.safetensors"), kwargs=kwargs)
    return spec, source


@pytest.mark.parametrize(("network", "kwargs"), [(DISTILLED, TINY), ("levit_128s", {}), ("resnetv2_18", {})])
def test_the_source_head_is_the_whole_classifier(
    network: str, kwargs: dict[str, int], tmp_path: Path
) -> None:
    spec, source = kept(tmp_path, network, 7, **kwargs)
    model = build(spec, CLASSES, 64)
    assert model.load_report.source_classes == 7
    found = model.eval_output(torch.randn(3, 3, 64, 64))
    with torch.no_grad(), source.in_eval_mode():
        torch.testing.assert_close(model.source_head()(found.features), source.classifier(found.features))


def test_half_a_source_head_is_refused(tmp_path: Path) -> None:
    spec, _ = kept(tmp_path, DISTILLED, 7, lacking="head_dist", **TINY)
    with pytest.raises(
        UserError, match=r"not whole: source\.safetensors has no head_dist\.bias, head_dist\.weight"
    ):
        build(spec, CLASSES, 64).source_head()


def check(expression: str, network: str, tmp_path: Path, train: TrainSpec, **kwargs: object) -> Model:
    backbone = BackboneSpec(network, "random", kwargs=kwargs, label="mine")
    strategy = compose.parse(expression, {})
    spec = RunSpec(DatasetSpec("synthetic/fine"), 10, backbone, strategy, 0, train)
    return preflight(spec, 3, Places(tmp_path, tmp_path))


@pytest.mark.parametrize("expression", ["logreg", "full + mlp_head", "full + bi_tuning", "full + lwf"])
def test_volo_is_refused_where_its_classifier_is_needed_alone(expression: str, tmp_path: Path) -> None:
    train = TrainSpec(image_size=64)
    with pytest.raises(UserError, match=r"strategy '.*' on mine: .*aux_head.*use_aux_head: false"):
        check(expression, "volo_d1_224", tmp_path, train)
    if expression != "full + lwf":  # which needs pretrained weights besides
        check(expression, "volo_d1_224", tmp_path, train, use_aux_head=False)


@pytest.mark.parametrize("expression", ["linear_probe", "full + l2_sp"])
def test_volo_is_trained_with_its_auxiliary_classifier_elsewhere(expression: str, tmp_path: Path) -> None:
    check(expression, "volo_d1_224", tmp_path, TrainSpec(image_size=64))


def test_batches_of_one_image_are_refused_where_the_network_cannot_be_trained_on_them(tmp_path: Path) -> None:
    train = TrainSpec(image_size=32, batch_size=1)
    with pytest.raises(
        UserError, match=r"strategy 'full' on mine: train\.batch_size is 1.*Expected more than 1"
    ):
        check("full", "resnet18", tmp_path, train)
    check("linear_probe", "resnet18", tmp_path, train)  # its BatchNorm is frozen
    check("full", "test_vit", tmp_path, train)
    assert TRAIN.batch_size > 1
