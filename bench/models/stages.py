"""Stem-to-head stages of any timm network, so that "the first k stages" means the same on all of them.

Source of the order: timm's own coarse `group_matcher`; for the few networks without one, the order of their
children. The classifier is no stage but the head. What else timm groups with it (ConvNeXt's `head.norm`,
MobileNetV3's `conv_head`) is backbone and belongs to the last stage: a linear probe does not train it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from bench.core.compat.timm import group_with_matcher
from bench.core.errors import UserError
from bench.models.types import HEAD

STEM = 0.0


@dataclass(frozen=True)
class Stage:
    """One block of depth. `index` counts from the stem; names are as in `Model.named_parameters()`."""

    name: str
    index: int
    param_names: tuple[str, ...]
    buffer_names: tuple[str, ...] = ()


def split(net: nn.Module, prefix: str = "") -> tuple[tuple[Stage, ...], Stage]:
    """The stages from the stem up, and the head; every parameter and buffer is in exactly one of them.

    `prefix` is put before each name. Raises `UserError` where the network has no classifier or no backbone.
    """
    head = classifier_names(net)
    params = [name for name, _ in net.named_parameters()]
    order = _order(net)
    backbone = {name: order(name) for name in params if name not in head}
    rank = _merge_remainder(backbone, [order(name) for name in head])
    if not head or not rank:
        raise UserError(
            f"{type(net).__name__} has no {'backbone' if head else 'classifier'} that could be trained"
        )
    ranks = sorted(set(rank.values()))
    of_param = {name: len(ranks) if name in head else ranks.index(rank[name]) for name in params}
    of_buffer = _place_buffers(net, of_param, lambda name: bisect_right(ranks, order(name)) - 1)
    names = [f"stage{i}" for i in range(len(ranks))] + [HEAD]
    parts = [
        Stage(name, i, _members(of_param, i, prefix), _members(of_buffer, i, prefix))
        for i, name in enumerate(names)
    ]
    assert sum(len(part.param_names) for part in parts) == len(params)
    return tuple(parts[:-1]), parts[-1]


def classifier_modules(net: nn.Module) -> list[nn.Module]:
    """The modules of `net.get_classifier()`, which gives one, or several in tuples and lists. Empty without one."""
    get = getattr(net, "get_classifier", None)
    return list(_modules(get())) if get else []


def _modules(found: object) -> Iterator[nn.Module]:
    from timm.layers import ClassifierHead

    if isinstance(found, tuple | list | nn.ModuleList):
        for part in found:
            yield from _modules(part)
    elif _is_distilled(found):  # RepViT's and iFormer's, one module of two
        yield from (found.head, found.head_dist)  # type: ignore[attr-defined]
    elif isinstance(found, ClassifierHead):  # Sequencer's, which pools first
        yield found.fc
    elif isinstance(found, nn.Module):
        yield found


def _is_distilled(module: object) -> bool:
    heads = [getattr(module, name, None) for name in ("head", "head_dist")]
    return all(isinstance(head, nn.Module) and any(True for _ in head.parameters()) for head in heads)


def auxiliary_modules(net: nn.Module) -> list[nn.Module]:
    """What timm's configuration names as classifier and `get_classifier` leaves out: VOLO's `aux_head`."""
    config = getattr(net, "pretrained_cfg", None) or {}
    names = config.get("classifier") or ()
    known = {id(inner) for module in classifier_modules(net) for inner in module.modules()}
    modules = dict(net.named_modules())
    named = [modules[name] for name in ([names] if isinstance(names, str) else names) if name in modules]
    return [module for module in named if id(module) not in known and any(True for _ in module.parameters())]


def beyond_features(net: nn.Module) -> str:
    """What makes the logits besides the classifier's features, in words; "" where these alone decide them."""
    auxiliary = auxiliary_modules(net)
    names = {id(module): name for name, module in net.named_modules()}
    if auxiliary:
        which = ", ".join(names[id(module)] for module in auxiliary)
        return f"{which} looks at all tokens and adds to them. kwargs {{use_aux_head: false}} builds a network without it"
    parents = [names[id(module)].rpartition(".")[0] for module in classifier_modules(net)]
    pools = [name for name in parents if "AttentionPool2d" in type(net.get_submodule(name)).__name__]
    return f"{pools[0]} pools only after it" if pools else ""  # CLIP's ResNets


def head_modules(net: nn.Module) -> list[nn.Module]:
    """All that depends on the number of classes: the classifiers, and auxiliary ones."""
    return [*classifier_modules(net), *auxiliary_modules(net)]


def classifier_names(net: nn.Module) -> set[str]:
    """Names of the tensors of `head_modules`."""
    own = {id(tensor) for module in head_modules(net) for _, tensor in _tensors(module)}
    return {name for name, tensor in _tensors(net) if id(tensor) in own}


def output_layer(head: nn.Module) -> nn.Linear | nn.Conv2d | None:
    """The layer of a classifier that gives a number per class: the last one."""
    layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return layers[-1] if layers else None


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _order(net: nn.Module) -> Callable[[str], float]:
    """Maps a parameter's or buffer's name to its rank from stem to head."""
    matched = _timm_groups(net)
    return matched if matched is not None else _children_order(net)


def _timm_groups(net: nn.Module) -> Callable[[str], float] | None:
    """timm's coarse groups as ranks; None where the network has no usable matcher (PoolFormer, RDNet)."""
    try:
        matcher = net.group_matcher(coarse=True)  # type: ignore[operator]
    except (AttributeError, AssertionError, NotImplementedError):
        return None
    groups = group_with_matcher(_tensors(net), matcher)
    ranks = {name: float(rank) for rank, names in groups.items() for name in names}
    backbone = {ranks.get(name, STEM) for name, _ in net.named_parameters()}
    return (lambda name: ranks.get(name, STEM)) if len(backbone) > 2 else None


def _children_order(net: nn.Module) -> Callable[[str], float]:
    """Ranks by the children's order: the largest container is the trunk and gives a stage per child.

    What comes before the trunk is the stem; what comes after it shares the classifier's rank.
    """
    children = dict(net.named_children())
    trunk = max(children, key=lambda name: _size(children[name]) if _is_container(children[name]) else -1)
    steps = [f"{trunk}.{name}." for name, _ in children[trunk].named_children()]
    after = list(children)[list(children).index(trunk) + 1 :]

    def rank(name: str) -> float:
        for i, step in enumerate(steps):
            if name.startswith(step):
                return i + 1.0
        return len(steps) + 1.0 if name.partition(".")[0] in after else STEM

    return rank


def _is_container(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _merge_remainder(rank: dict[str, float], head: Iterable[float]) -> dict[str, float]:
    """Moves what shares the classifier's group, or lies beyond it, to the last stage below."""
    border = min(head, default=math.inf)
    last = max((r for r in rank.values() if r < border), default=None)
    return rank if last is None else {name: min(r, last) for name, r in rank.items()}


def _place_buffers(net: nn.Module, of_param: dict[str, int], place: Callable[[str], int]) -> dict[str, int]:
    """A buffer goes with the parameters of its module, or else where `place` puts its name."""
    of_module: dict[str, int] = {}
    for name, index in of_param.items():
        module = name.rpartition(".")[0]
        of_module[module] = max(index, of_module.get(module, 0))
    of_module.pop("", None)  # the net's own parameters (class token, ...) say nothing about its buffers
    names = [name for name, _ in net.named_buffers()]
    return {name: of_module.get(name.rpartition(".")[0], max(0, place(name))) for name in names}


def _members(places: dict[str, int], index: int, prefix: str) -> tuple[str, ...]:
    return tuple(prefix + name for name, place in places.items() if place == index)
