"""Stem-to-head order, on the meta device: no weights are made."""

from functools import cache

import pytest
import timm
import torch
from torch import nn

from bench.core.errors import UserError
from bench.models.stages import Stage, split

TINY = [
    "test_byobnet",
    "test_coatnet",
    "test_convnext",
    "test_convnext2",
    "test_efficientnet",
    "test_efficientnet_gn",
    "test_mambaout",
    "test_maxvit",
    "test_nfnet",
    "test_resnet",
    "test_vit",
    "test_vit2",
    "test_vit_relpos",
]
REAL = ["resnet18", "mobilenetv2_100", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto"]
REAL += [
    "vit_tiny_patch16_224",
    "levit_128",
    "swin_tiny_patch4_window7_224",
    "deit_tiny_distilled_patch16_224",
]
UNMATCHED = ["poolformer_s12", "rdnet_tiny"]
UNORDERED = ["cait_xxs24_224"]  # timm interleaves its class-attention blocks with the last ones


@cache
def make(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, num_classes=7).eval()


def places(parts: tuple[Stage, ...]) -> dict[str, int]:
    return {name: part.index for part in parts for name in (*part.param_names, *part.buffer_names)}


@pytest.mark.parametrize("name", [*TINY, *REAL, *UNMATCHED, *UNORDERED])
def test_every_tensor_is_in_exactly_one_part(name: str) -> None:
    net = make(name)
    stages, head = split(net)
    parts = (*stages, head)
    assert [part.index for part in parts] == list(range(len(parts)))
    assert [part.name for part in parts] == [*(f"stage{i}" for i in range(len(stages))), "head"]
    assert len(stages) >= 3
    assert all(part.param_names for part in parts)
    params = [param for part in parts for param in part.param_names]
    assert sorted(params) == sorted(param for param, _ in net.named_parameters())
    buffers = [buffer for part in parts for buffer in part.buffer_names]
    assert sorted(buffers) == sorted(buffer for buffer, _ in net.named_buffers())


@pytest.mark.parametrize("name", [*TINY, *REAL, *UNMATCHED])
def test_stages_run_in_their_order(name: str) -> None:
    net = make(name)
    stages, head = split(net)
    place = {param.rpartition(".")[0]: i for param, i in places((*stages, head)).items() if "." in param}
    ran: list[int] = []
    for module_name, module in net.named_modules():
        if module_name in place:
            module.register_forward_pre_hook(lambda m, x, i=place[module_name]: ran.append(i))
    net(torch.zeros(1, *net.pretrained_cfg["input_size"], device="meta"))
    assert ran == sorted(ran)
    assert set(ran) >= {stages[0].index, head.index}


@pytest.mark.parametrize("name", [*TINY, *REAL, *UNMATCHED, *UNORDERED])
def test_the_head_depends_on_the_number_of_classes_and_the_backbone_does_not(name: str) -> None:
    net = make(name)
    _, head = split(net)
    with torch.device("meta"):
        other = timm.create_model(name, num_classes=3)
    differing = {p for p, t in net.named_parameters() if t.shape != other.get_parameter(p).shape}
    assert differing and differing <= set(head.param_names)


def of(name: str) -> dict[str, str]:
    stages, head = split(make(name))
    return {
        tensor: part.name for part in (*stages, head) for tensor in (*part.param_names, *part.buffer_names)
    }


def test_resnet() -> None:
    place = of("resnet18")
    assert place["conv1.weight"] == place["bn1.running_mean"] == "stage0"
    assert place["layer1.0.conv1.weight"] == "stage1"
    assert place["layer4.1.bn2.weight"] == place["layer4.1.bn2.running_var"] == "stage4"
    assert place["fc.weight"] == place["fc.bias"] == "head"


def test_vit_tokens_are_stem_and_the_last_norm_is_backbone() -> None:
    place = of("vit_tiny_patch16_224")
    assert place["cls_token"] == place["pos_embed"] == place["patch_embed.proj.weight"] == "stage0"
    assert place["blocks.11.mlp.fc2.weight"] == place["norm.weight"] == "stage12"
    assert place["head.weight"] == "head"


def test_what_lies_beside_the_classifier_belongs_to_the_last_stage() -> None:
    assert of("convnext_atto")["head.norm.weight"] == of("convnext_atto")["stages.3.blocks.0.conv_dw.weight"]
    small = of("mobilenetv3_small_050")
    assert small["conv_head.weight"] == small["blocks.5.0.conv.weight"] == "stage6"
    assert of("mobilenetv2_100")["bn2.running_mean"] == of("mobilenetv2_100")["blocks.6.0.conv_pw.weight"]


def test_normalisation_inside_the_classifier_is_head() -> None:
    place = of("levit_128")
    assert place["head.bn.weight"] == place["head.bn.running_mean"] == place["head.linear.weight"] == "head"


def test_several_classifiers() -> None:
    place = of("deit_tiny_distilled_patch16_224")
    assert place["head.weight"] == place["head_dist.weight"] == "head"


def test_without_a_matcher_the_trunk_gives_the_stages() -> None:
    place = of("poolformer_s12")
    assert {place[f"stages.{i}.blocks.0.mlp.fc1.weight"] for i in range(4)} == {
        f"stage{i + 1}" for i in range(4)
    }
    assert place["stem.conv.weight"] == "stage0"


def test_without_a_classifier() -> None:
    with torch.device("meta"):
        net = timm.create_model("test_resnet", num_classes=0)
    with pytest.raises(UserError, match="no classifier"):
        split(net)
