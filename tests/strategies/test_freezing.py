"""Which parameters train, against what the names and shapes of the networks say; the closed-form probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from bench.core.errors import UserError
from bench.data.images import ImageSet
from bench.methods.api import Phase
from bench.models.model import Model
from tests.support.strategy_samples import (
    NETWORKS,
    composed,
    first_phase,
    make_model,
    make_task,
    make_trainer,
)


def trained(model: Model, phase: Phase) -> set[str]:
    """timm's names of what trains."""
    ids = {id(p) for p in phase.params}
    return {n for n, p in model.net.named_parameters() if id(p) in ids}


def names(model: Model) -> set[str]:
    return {n for n, _ in model.net.named_parameters()}


def test_freeze_first_goes_from_nothing_to_all_of_the_backbone() -> None:
    model = make_model("test_resnet")
    for k in range(len(model.stages) + 1):
        phase = first_phase("freeze_first", model, freeze_first={"k": k})
        assert [g.name for g in phase.train] == [s.name for s in model.stages[k:]] + ["head"]


def test_freeze_fraction_freezes_whole_stages_up_to_the_share() -> None:
    model = make_model("test_resnet")
    sizes = [sum(p.numel() for p in model.stage_parameters(s)) for s in model.stages]
    share = (sizes[0] + sizes[1] + 0.5 * sizes[2]) / sum(sizes)
    phase = first_phase("freeze_fraction", model, freeze_fraction={"share": share})
    assert [g.name for g in phase.train] == [s.name for s in model.stages[2:]] + ["head"]


def test_freeze_pattern_freezes_what_it_matches_and_never_the_head() -> None:
    model = make_model("test_resnet")
    phase = first_phase("freeze_pattern", model, freeze_pattern={"pattern": r"bn\d|layer1|fc"})
    frozen = names(model) - trained(model, phase)
    assert frozen == {n for n in names(model) if "bn" in n or n.startswith("layer1.")}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_default_pattern_is_the_stem(network: str) -> None:
    model = make_model(network)
    frozen = names(model) - trained(model, first_phase("freeze_pattern", model))
    assert frozen and all(
        n.split(".")[0] in ("conv1", "bn1", "conv_stem", "stem", "patch_embed") for n in frozen
    )


def test_freeze_children_counts_as_pytorch_does() -> None:
    model = make_model("test_resnet")
    phase = first_phase("freeze_children", model, freeze_children={"children": 3})
    children = [n for n, c in model.net.named_children() if list(c.parameters())]
    assert children[:3] == ["conv1", "bn1", "layer1"]
    assert names(model) - trained(model, phase) == {
        n for n in names(model) if n.split(".")[0] in children[:3]
    }


@pytest.mark.parametrize(
    ("expression", "hyperparameters", "says"),
    [
        ("freeze_fraction", {"share": 0.0}, "add up to shares"),
        ("freeze_fraction", {"share": 1.0}, "add up to shares"),
        ("freeze_pattern", {"pattern": "nothing_like_it"}, "matches no parameter"),
        ("freeze_pattern", {"pattern": "."}, "matches every parameter"),
        ("freeze_pattern", {"pattern": "("}, "not a regular expression"),
        ("freeze_children", {"children": 7}, "use 1..6"),
        ("shared_prefix", {"k": 5}, "use 1..4"),
        ("surgical", {"stage": 5}, "stages 0..4"),
        ("five_step", {"k": 6}, "5 stages"),
    ],
)
def test_hyperparameters_that_leave_nothing_frozen_or_trained_are_refused(
    expression: str, hyperparameters: dict, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        first_phase(expression, make_model("test_resnet"), **{expression: hyperparameters})


def test_shared_prefix_keeps_k_stages_and_draws_the_others_anew() -> None:
    model = make_model("test_resnet")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(9)
    phase = first_phase("shared_prefix", model, shared_prefix={"k": 2})
    kept = {n for s in model.stages[:2] for n in (*s.param_names, *s.buffer_names)}
    weights = {n for n, p in model.named_parameters() if p.ndim > 1}
    same = {n for n in before if torch.equal(model.state_dict()[n], before[n])}
    assert kept <= same and not weights & (same - kept)
    assert {f"net.{n}" for n in trained(model, phase)} == {n for n, _ in model.named_parameters()} - kept


def test_five_step_never_trains_what_lies_below() -> None:
    model = make_model("test_resnet")
    head, joint = composed("five_step", five_step={"k": 2}).phases(model, make_task(epochs=5))
    assert [g.name for g in head.train] == ["head"]
    assert [g.name for g in joint.train] == [s.name for s in model.stages[-2:]] + ["head"]
    assert head.epochs + joint.epochs == 5 and head.head_lr > joint.head_lr


@pytest.mark.parametrize("network", NETWORKS)
def test_norm_only_trains_affine_parameters_of_norms(network: str) -> None:
    model = make_model(network)
    found = trained(model, first_phase("norm_only", model))
    kinds = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    norms = {
        f"{n}.{p}"
        for n, m in model.net.named_modules()
        if isinstance(m, kinds)
        for p, _ in m.named_parameters()
    }
    head = {n.removeprefix("net.") for n in model.head.param_names}
    assert norms and found == norms | head


@pytest.mark.parametrize("network", NETWORKS)
def test_bitfit_trains_biases(network: str) -> None:
    model = make_model(network)
    found = trained(model, first_phase("bitfit", model)) - {
        n.removeprefix("net.") for n in model.head.param_names
    }
    assert found == {n for n in names(model) if n.endswith(".bias")} - {
        "fc.bias",
        "head.fc.bias",
        "classifier.bias",
        "head.bias",
    }


def test_surgical_trains_one_stage() -> None:
    model = make_model("test_vit")
    phase = first_phase("surgical", model, surgical={"stage": 2})
    assert [g.name for g in phase.train] == ["stage2", "head"]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_logreg_is_scikit_learns_optimum_on_standardised_features(classes: int, together: bool) -> None:
    """An independent pipeline, and the choice of C on validation, give the probabilities that the network gives.

    It ends with the validation images where all others are trained on them as well, and only there.
    """
    model, task = make_model("test_resnet"), make_task()
    keep = lambda images: images.subset((images.y < classes).nonzero().flatten())  # noqa: E731
    task = type(task)(keep(task.train), keep(task.val), classes, task.epochs, task.batch_size)
    model.replace_head(lambda head: nn.Linear(model.feature_dim, classes))
    x, y = task.features(model, task.train)
    x_val, y_val = task.features(model, task.val)
    mean, spread = x.mean(0), np.where(x.std(0) < 1e-9, 1, x.std(0))
    grid = np.logspace(-6, 4, 41)
    fits = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit((x - mean) / spread, y) for c in grid]
    scores = [f.score((x_val - mean) / spread, y_val) for f in fits]
    best = grid[int(np.argmax(scores))]
    if together:
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
        both = ImageSet(torch.cat([task.train.x, task.val.x]), torch.cat([task.train.y, task.val.y]))
        task = replace(task, train=both, apart=task.train)
    expected = LogisticRegression(C=best, max_iter=5000, tol=1e-8).fit((x - mean) / spread, y)
    trainer, _ = make_trainer(model, task)
    trainer.run(composed("logreg"))
    found = trainer.predict(task.val).softmax(-1).numpy()
    np.testing.assert_allclose(found, expected.predict_proba((x_val - mean) / spread), atol=2e-3)


def test_logreg_refuses_a_head_of_several_layers() -> None:
    model = make_model("test_vit")
    model.replace_head(lambda head: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)))
    with pytest.raises(UserError, match="must be one linear layer"):
        first_phase("logreg", model)
