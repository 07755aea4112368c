import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.models.checkpoints.keys import readings, remap

OWN = {"stem.weight": (2, 3), "blocks.0.weight": (4,), "blocks.1.weight": (4,), "head.weight": (5, 4)}


def state(*names: str, **shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(next((s for n, s in OWN.items() if name.endswith(n)), (1,))) for name in names}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "encoder.",
        "module._orig_mod.",
        "module.model.backbone.",
        "any.one.",
    ],
)
def test_prefixes(prefix: str) -> None:
    found = remap(state(*(prefix + name for name in OWN)), OWN, {})
    assert list(found) == list(OWN)


@pytest.mark.parametrize(
    "wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"]
)
@pytest.mark.parametrize("outer", ["", "module.", "model.backbone."])
def test_wrappers_within_names(wrapper: str, outer: str) -> None:
    wrapped = [
        name.replace("blocks.0.", f"blocks.0.{wrapper}.").replace("head.", f"{wrapper}.head.") for name in OWN
    ]
    found = remap(state(*(outer + name for name in wrapped)), OWN, {})
    assert set(found) == set(OWN)


def test_names_beside_the_wrapped_part_lose_what_they_share_with_it() -> None:
    names = ["module.backbone.stem.weight", "module.backbone.blocks.0.weight", "module.head.weight"]
    assert set(remap(state(*names), OWN, {})) == {"stem.weight", "blocks.0.weight", "head.weight"}


def test_every_network_in_one_mapping_is_a_reading() -> None:
    given = state(*(f"{part}.{name}" for part in ("module.encoder_q", "module.encoder_k") for name in OWN))
    assert [prefix for prefix, _ in readings(given, OWN, {})] == ["module.encoder_q.", "module.encoder_k."]
    assert [prefix for prefix, _ in readings({**given, **state(*OWN)}, OWN, {})] == [""]


def test_a_prefix_that_belongs_to_the_network_stays() -> None:
    own = {"encoder.weight": (1,), "encoder.bias": (1,)}
    assert list(remap(state(*own), own, {})) == list(own)
    assert list(remap(state("model.encoder.weight", "model.encoder.bias"), own, {})) == list(own)


def test_prefixes_of_some_keys_only() -> None:
    found = remap(state("backbone.stem.weight", "backbone.blocks.0.weight", "head.weight"), OWN, {})
    assert set(found) == {"stem.weight", "blocks.0.weight", "head.weight"}


def test_what_stands_behind_the_prefix_is_not_mixed_with_what_stands_beside_it() -> None:
    given = {"stem.weight": torch.ones(2, 3), "encoder.stem.weight": torch.zeros(2, 3)}
    given |= {"encoder.blocks.0.weight": torch.zeros(4)}
    assert remap(given, OWN, {})["stem.weight"].sum() == 0


@pytest.mark.parametrize(("prefix", "beside"), [("model.", ""), ("model.student.", "model.")])
def test_a_gap_is_not_filled_from_another_network(prefix: str, beside: str) -> None:
    names = ("layer1.conv", "layer1.bn", "layer2", "layer3", "layer4", "head")
    own = {f"{name}.weight": (1,) for name in names}
    given = {prefix + name: torch.zeros(1) for name in own if name not in ("layer1.bn.weight", "head.weight")}
    given |= {f"{beside}layer1.bn.weight": torch.ones(1), f"{beside}head.weight": torch.ones(1)}
    assert set(remap(given, own, {})) == set(own) - {"layer1.bn.weight"}


def test_patterns_in_order() -> None:
    found = remap(
        state("conv.weight", "layer.3.weight"), OWN, {"^conv": "stem", r"layer\.3": "blocks.9", "s.9": "s.1"}
    )
    assert list(found) == ["stem.weight", "blocks.1.weight"]


@pytest.mark.parametrize("pattern", [r"^module\.features\.", r"^features\.", r"features\."])
def test_patterns_fit_raw_and_cleaned_keys(pattern: str) -> None:
    names = ["module.features.0.weight", "module.features.1.weight"]
    assert list(remap(state(*names), OWN, {pattern: "blocks."})) == ["blocks.0.weight", "blocks.1.weight"]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"(": "x"}, "not a regular expression"),
        ({"stem": r"\2"}, "replacement"),
        ({"stem": r"\g<nobody>"}, "replacement"),
        ({"stm": "stem"}, "matches no key"),
        ({r"\d": "x"}, "both become 'blocks.x.weight'"),
    ],
)
def test_wrong_patterns(rename: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        remap(state(*OWN), OWN, rename)


words = st.sampled_from(
    [
        "module.",
        "_orig_mod.",
        "model.",
        "backbone.",
        "net.",
        "stem",
        "blocks",
        "head",
        ".",
        "weight",
        "0",
        "1",
        "",
        "é",
        "\n",
    ]
)
keys = st.lists(words, max_size=6).map("".join)
patterns = st.one_of(keys, st.text(alphabet="s.*+?()[]\\dgkP<1>|^$", max_size=8))
tensors = st.sampled_from([(), (0,), (4,), (2, 3), (5, 4)]).map(torch.zeros)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, tensors, max_size=8), st.dictionaries(patterns, patterns, max_size=3))
def test_any_keys_and_patterns(given: dict[str, torch.Tensor], rename: dict[str, str]) -> None:
    before = dict(given)
    try:
        found = remap(given, OWN, rename)
    except UserError:
        found = {}
    assert list(given) == list(before)
    assert all(any(value is tensor for tensor in given.values()) for value in found.values())
    if not rename:
        assert len(found) <= len(given) and set(OWN) & set(given) <= set(found)
