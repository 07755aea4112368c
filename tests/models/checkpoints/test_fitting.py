"""What of a checkpoint fits a network: table of situations, the right value beside each. Nothing is lost without a word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import timm
import torch
import yaml
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, PartSpec, RunSpec, StrategySpec
from bench.models.build import build
from bench.models.checkpoints.load_report import LoadReport, percent, summarised
from bench.models.checkpoints.loading import load_checkpoint
from tests.support.commands import bench

State = dict[str, Tensor]
EVEN = {"mean": [0.5] * 3, "std": [0.25] * 3}


def state_of(name: str = "test_resnet", **kwargs: Any) -> State:
    """Weights of a network whose every tensor differs from what a constructor draws or fills in."""
    torch.manual_seed(0)
    state = timm.create_model(name, **kwargs).state_dict()
    return {n: t + 0.02 * torch.rand_like(t) if t.is_floating_point() else t for n, t in state.items()}


def spec(folder: Path, state: State, name: str = "test_resnet", **fields: Any) -> BackboneSpec:
    torch.save(state, folder / "w.pth")
    fields = {"data_config": EVEN, **fields}
    return BackboneSpec(name, "checkpoint", checkpoint=str(folder / "w.pth"), label="mine", **fields)


def without(pattern: str) -> Callable[[State], State]:
    return lambda state: {n: t for n, t in state.items() if not re.search(pattern, n)}


def features(spec: BackboneSpec, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        return build(spec, 5, x.shape[-1]).eval().observe(x).features


def channels(n: int) -> Callable[[State], State]:
    def change(state: State) -> State:
        stem = "conv1.0.weight"
        return {**state, stem: torch.rand(len(state[stem]), n, 3, 3)}

    return change


LOST: dict[str, tuple[str, Callable[[State], State], str]] = {
    # situation: network, what is done to its weights, what the refusal names
    "no running statistics": (
        "test_resnet", without("running_|num_batches"), r"30 of the 75 tensors .*running_mean.*named_parameters"
    ),
    "no running means": ("test_resnet", without("running_mean"), "15 of the 75 tensors"),
    "no statistics of one layer": ("test_resnet", without(r"layer2.0.bn1.running_var"), "layer2.0.bn1.running_var"),
    "no norms at all": ("test_resnet", without(r"bn\d"), "40 of the 75 tensors"),
    "no affine of a norm": ("test_vit", without(r"norm1\.(weight|bias)"), r"blocks\.\*\.norm1\.weight"),
    "no biases of attention": ("test_vit", without("qkv.bias"), r"qkv\.bias.*of another variant"),
    "no class token": ("test_vit", without("cls_token"), "1 of the 7. tensors .*cls_token"),
    "no final norm": ("test_convnext", without("head.norm"), r"head\.norm\.weight, head\.norm\.bias"),
    "no stem": ("test_resnet", without("conv1.0.weight"), "conv1.0.weight"),
    "a stem of another kernel": (
        "test_resnet", lambda s: {**s, "conv1.0.weight": torch.rand(16, 3, 7, 7)}, "16x3x7x7 in the checkpoint"
    ),
    "no layer scale": ("test_convnext", without("gamma"), "gamma"),
    "one block without its attention": ("test_vit", without(r"blocks\.3\.attn"), r"blocks\.3\.attn\.qkv\.weight"),
    "no block 1, though there is a block 10": ("vit_tiny_patch16_224", without(r"blocks\.1\."), "12 of the 15. tensors"),
    "parts here and there": (
        "test_resnet", without(r"layer2|layer4.*conv2|layer3.*bn1\.weight|layer1.*bn[12]\.running"), "21 of the 75"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "named"), LOST.values(), ids=list(LOST))
def test_a_part_that_would_stay_at_its_initial_values_is_refused_unless_named(
    name: str, change: Callable[[State], State], named: str, tmp_path: Path
) -> None:
    mine = spec(tmp_path, change(state_of(name)), name)
    with pytest.raises(UserError, match=r"backbone 'mine': checkpoint .*w\.pth: ") as refusal:
        build(mine, 5)
    assert re.search(named, str(refusal.value)), refusal.value
    entry = re.search(r"`(allow_missing: \[.*\])`", str(refusal.value))
    assert entry
    patterns = tuple(yaml.safe_load(entry[1])["allow_missing"])  # as the message proposes
    report = build(spec(tmp_path, change(state_of(name)), name, allow_missing=patterns), 5).load_report
    assert any("keep their initial values" in note and "allow_missing" in note for note in report.notes())
    assert not report.network.complete and report.initial
    allowed = {n for n in state_of(name) for pattern in patterns if re.search(pattern, n)}
    assert {n for n in allowed if not n.endswith("num_batches_tracked")} == set(report.initial)
    statistics = any("running_" in name for name in report.initial)
    assert ("mean 0 and variance 1" in " ".join(report.notes())) == statistics


@pytest.mark.parametrize(("layers", "named"), [("", "all running"), ("layer2", "some running")])
def test_statistics_of_layers_that_have_seen_no_image_stand_in_the_report(
    layers: str, named: str, tmp_path: Path
) -> None:
    state, fresh = state_of(), timm.create_model("test_resnet").state_dict()
    emptied = {n: fresh[n] if "running_" in n and n.startswith(layers) else t for n, t in state.items()}
    said = build(spec(tmp_path, emptied), 5).load_report.notes()
    assert any(named in note and "seen no image" in note for note in said)
    assert not any("seen no image" in note for note in build(spec(tmp_path, state), 5).load_report.notes())


WHOLE: dict[str, tuple[str, Callable[[State], State]]] = {
    # situation: nothing that the network computes with is lost
    "without counters": ("test_resnet", without("num_batches_tracked")),
    "half precision": ("test_vit", lambda s: {n: t.half() for n, t in s.items()}),
    "bfloat16": ("test_vit", lambda s: {n: t.bfloat16() for n, t in s.items()}),
    "double precision": ("test_vit", lambda s: {n: t.double() for n, t in s.items()}),
    "without its head": ("test_resnet", without("^fc")),
    "a fixed transform, computed by the constructor": ("csatv2", without("stem_dct.transform")),
    "a table of positions, computed by the constructor": (
        "efficientformer_l1",
        without("attention_bias_idxs"),
    ),
    "tensors that have two names": ("coat_tiny", without(r"serial_blocks1.1.(cpe|factoratt_crpe.crpe)")),
}


@pytest.mark.parametrize(("name", "change"), WHOLE.values(), ids=list(WHOLE))
def test_what_is_not_needed_is_not_missed(
    name: str, change: Callable[[State], State], tmp_path: Path
) -> None:
    state = change(state_of(name))
    assert len(state) < len(state_of(name)) or next(iter(state.values())).dtype != torch.float32
    size = 64 if name == "csatv2" else None  # which takes images of any
    report = build(spec(tmp_path, state, name), 5, size).load_report
    assert report.initial == [] and report.network.complete and report.backbone_share == 1
    assert len(report.notes()) == 1


def test_random_buffers_are_no_computed_ones(tmp_path: Path) -> None:
    """A fixed random projection belongs to its weights, though it is no parameter."""
    from bench.models.checkpoints.variant import Variant

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
            self.register_buffer("drawn", torch.randn(4))
            self.register_buffer("table", torch.arange(4.0))
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.seen += 1
            return self.fc(self.conv(x).mean((2, 3)) * self.drawn * self.table + self.seen)

    variant = Variant(lambda **changes: Net(), 8, 8)
    assert variant.computed(Net(), ["drawn", "table", "seen"]) == {"table"}


def test_a_stem_of_one_channel_is_the_same_function_on_grey_images(tmp_path: Path) -> None:
    grey = torch.randn(2, 1, 32, 32)
    for name in ("test_resnet", "test_vit", "test_convnext", "test_efficientnet"):
        state = state_of(name, in_chans=1)
        original = timm.create_model(name, in_chans=1, **({"img_size": 32} if name == "test_vit" else {}))
        mine = spec(tmp_path, state, name)
        report = load_checkpoint(original, tmp_path / "w.pth", keep_head=True)  # of one channel, as it was
        assert report.network.complete
        with torch.no_grad():
            original.eval()
            expected = original.forward_head(original.forward_features(grey), pre_logits=True)
        found = features(mine, grey.expand(-1, 3, -1, -1))
        assert torch.allclose(found, expected, atol=1e-4), name
        notes = build(mine, 5).load_report.notes()
        assert any("first layer of 1 channel was spread over three" in note for note in notes)
        assert not any("normalised differently" in note for note in notes)


def test_a_stem_of_one_channel_says_that_channels_are_normalised_differently(tmp_path: Path) -> None:
    report = build(
        spec(tmp_path, state_of(in_chans=1), data_config={"mean": [0.485, 0.456, 0.406]}), 5
    ).load_report
    assert any("normalised differently (mean 0.485, 0.456, 0.406" in note for note in report.notes())


def test_a_stem_that_standardises_its_weights_is_refused(tmp_path: Path) -> None:
    """A third of the weights is the same weights to it, so that the sum over channels would be too large."""
    with pytest.raises(UserError, match=r"images of 1 channel, .*stem.conv1.weight .*cannot be spread"):
        build(spec(tmp_path, state_of("test_nfnet", in_chans=1), "test_nfnet"), 5)


@pytest.mark.parametrize("number", [2, 4, 6, 13])
def test_stems_of_other_channels_are_refused_by_name(number: int, tmp_path: Path) -> None:
    mine = spec(tmp_path, state_of(in_chans=number))
    message = rf"'mine'.*for images of {number} channels, .*conv1.0.weight \(16x{number}x3x3"
    with pytest.raises(UserError, match=message):
        build(mine, 5)
    if number > 3:  # what the message says
        state = torch.load(tmp_path / "w.pth")
        state["conv1.0.weight"] = state["conv1.0.weight"][:, [0, 1, 2]]
        assert build(spec(tmp_path, state), 5).load_report.network.complete


def test_a_part_of_the_file_without_a_place_is_said(tmp_path: Path) -> None:
    """A deeper network of the same names fits in full, and is half of what it was."""
    report = build(spec(tmp_path, state_of("resnet34"), "resnet18"), 5).load_report
    assert report.network.complete and report.backbone_share == 1
    assert 0.5 < report.file.elements / report.file.of_elements < 0.6
    assert any(
        "no place for layer1.*.conv1.weight" in n or "no place for layer1.2" in n for n in report.notes()
    )


IMPOSSIBLE: list[tuple[Callable[[State], State], str]] = [
    (lambda s: {n: torch.zeros_like(t) for n, t in s.items()}, "all its weights are zero"),
    (lambda s: {**s, "bn1.running_var": -s["bn1.running_var"]}, "bn1.running_var holds negative variances"),
    (lambda s: {**s, "bn1.running_var": torch.full((32,), 7e4).half()}, "not finite"),
]


@pytest.mark.parametrize(("change", "message"), IMPOSSIBLE)
def test_values_that_no_training_leaves(
    change: Callable[[State], State], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        build(spec(tmp_path, change(state_of())), 5)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("runing_",), "'runing_' matches no tensor of ResNet"),
        (("(",), "not a regular expression"),
        (("running_mean",), "15 of the 75"),
    ],
)
def test_wrong_patterns(patterns: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build(spec(tmp_path, without("running_")(state_of()), allow_missing=patterns), 5)


def test_less_than_half_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only \d+\.\d% of the backbone fits"):
        build(spec(tmp_path, without("layer[34]")(state_of()), allow_missing=(".*",)), 5)


def test_what_may_be_missing_is_no_part_of_a_runs_identity() -> None:
    def run(**fields: Any) -> str:
        backbone = BackboneSpec("test_resnet", "checkpoint", "w.pth", content="0", **fields)
        return RunSpec(DatasetSpec("d"), 5, backbone, StrategySpec(PartSpec("full"), ()), 0).run_id

    assert run() == run(allow_missing=("a",)) == "d7367ac79310e4f9"


def test_shares_are_never_rounded_up() -> None:
    assert [percent(share) for share in (1, 0.99999, 0.5, 0.0004, 0)] == [
        "100.0%",
        "99.9%",
        "50.0%",
        "0.0%",
        "0.0%",
    ]


def test_names_are_summarised() -> None:
    names = ["blocks.0.fc1.weight", "blocks.1.fc1.weight", "blocks.0.fc2.weight", "pos"]
    shapes = [("pos", (1, 2), (1, 3))]
    expected = "blocks.*.fc1.weight (2), blocks.0.fc2.weight, pos (1x2 in the checkpoint, 1x3 in the network)"
    assert summarised(names, shapes) == expected


def test_a_report_without_weights_has_no_notes() -> None:
    assert LoadReport(source="random weights").notes() == []


STUDY = """
name: fit
datasets: [{name: sklearn/digits, similarity: similar, n_per_class: [5]}]
backbones: [{name: test_resnet, label: mine, checkpoint: w.pth, ALLOWED}]
strategies: [linear_probe]
seeds: 1
system_metrics: false
train: {epochs: 1, image_size: 32, precision: fp32, batch_size: 16}
"""


def test_it_is_refused_before_the_first_run_or_stands_in_the_report(tmp_path: Path) -> None:
    torch.save(without("running_")(state_of()), tmp_path / "w.pth")

    def run(allowed: str) -> CompletedProcess[str]:
        (tmp_path / "fit.yaml").write_text(STUDY.replace("ALLOWED", allowed))
        return bench(tmp_path, "run", "fit.yaml", "--workers", "0")

    refused = run("kwargs: {}")
    assert refused.returncode == 2 and "error: backbone 'mine': checkpoint" in refused.stderr
    assert "finished  " not in refused.stdout
    done = run("allow_missing: ['running_(mean|var)$']")
    assert done.returncode == 0 and "mine: may lack running_(mean|var)$" in done.stdout
    reports = [path.read_text() for path in tmp_path.rglob("report*.md")]
    assert reports and all(
        "keep their initial values" in text and "45 of 75 tensors" in text for text in reports
    )
