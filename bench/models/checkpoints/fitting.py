"""What of a checkpoint fits a network, what of the network it leaves as it was initialised, and whether that will do.

A backbone that is in part at its random start is no pretrained one, though its report says "99.9 % loaded": the part may
be what mixes tokens, or the statistics that every image is normalised with. So a part is refused unless the study asks for
it by name (`allow_missing`). Harmless are only buffers that the constructor computes, and counters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from bench.core.errors import UserError
from bench.models.checkpoints.keys import State
from bench.models.checkpoints.load_report import Change, LoadReport, Share, is_statistic, summarised
from bench.models.checkpoints.variant import Variant
from bench.models.stages import classifier_modules, output_layer


class Incomplete(UserError):
    """A network that its weights or its image size do not fit: a part of it would stay at its random start."""


def compare(
    raw: State, state: State, net: nn.Module, classifier: set[str], keep_head: bool, source: str,
    stems: Sequence[Change], variant: Variant | None,
) -> LoadReport:  # fmt: skip
    """raw: the checkpoint's tensors under the network's names. state: the same, converted for this network."""
    own = net.state_dict()
    left_out = set() if keep_head else classifier
    shared = [name for name in own if name in state]
    fits = [name for name in shared if state[name].shape == own[name].shape]
    loaded = [name for name in fits if name not in left_out]
    fitting = set(fits)
    backbone = {name: p.numel() for name, p in net.named_parameters() if name not in classifier}
    absent = [name for name in own if name not in fitting and name not in classifier]
    initial = _initial(net, absent, fitting, variant)
    changed = {name for name, _, _ in stems}
    return LoadReport(
        loaded=loaded,
        missing=[name for name in own if name not in state],
        unexpected=[name for name in state if name not in own],
        mismatched=[(n, tuple(state[n].shape), tuple(own[n].shape)) for n in shared if n not in fitting],
        head=[name for name in fits if name in left_out],
        source_classes=_classes(state, net),
        backbone_share=sum(backbone.get(name, 0) for name in loaded) / max(1, sum(backbone.values())),
        source=source,
        initial=initial,
        resized=[
            (n, tuple(raw[n].shape), tuple(own[n].shape))
            for n in loaded
            if n in raw and raw[n].shape != own[n].shape and n not in changed
        ],
        stems=list(stems),
        network=_of_network(own, classifier, initial),
        file=_of_file(raw, state, classifier, [name for name in loaded if name not in classifier]),
        remarks=_without_images({name: state[name] for name in loaded}),
    )


def refuse_incomplete(
    report: LoadReport, net: nn.Module, where: str, allowed: Sequence[str], variant: Variant | None
) -> None:
    """Raises `Incomplete` where a tensor would keep its initial value that no pattern of `allowed` names."""
    _refuse_unknown(allowed, net)
    left = [name for name in report.initial if not any(re.search(pattern, name) for pattern in allowed)]
    if not left:
        return
    wrong = {name: theirs for name, theirs, _ in report.mismatched if name in left}
    size = variant.size_for(wrong) if variant and wrong else None
    at = f" at image_size {variant.image_size}" if variant else ""
    fit = f" They fit at image_size {size}." if size else ""
    hint = _hint(left, wrong, net)
    raise Incomplete(
        f"{where}: {len(left)} of the {report.network.of_tensors} tensors of {type(net).__name__}'s backbone{at} "
        f"would keep their initial values: {summarised(left, report.mismatched)}.{fit}{hint} "
        f"If it is to be fine-tuned like this: `allow_missing: {_patterns(left, net)}` in the backbone's entry"
    )


def _hint(left: Sequence[str], wrong: dict[str, tuple[int, ...]], net: nn.Module) -> str:
    if set(left) == set(filter(is_statistic, net.state_dict())):
        return " The file has no running statistics (was it saved with `named_parameters()`?): save `state_dict()`."
    if not wrong:
        return " The file lacks them; is it of another variant (`kwargs`)?"
    return ""


def _initial(net: nn.Module, absent: Sequence[str], fitting: set[str], variant: Variant | None) -> list[str]:
    """Those of the `absent` tensors that the network computes with and does not compute."""
    tensors = net.state_dict(keep_vars=True)
    there = {id(tensors[name]) for name in fitting}  # one tensor may have several names
    absent = [name for name in absent if id(tensors[name]) not in there]
    params = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    buffers = [name for name in absent if name not in params and not _is_counter(name, tensors[name])]
    unclear = [name for name in buffers if not is_statistic(name)]
    computed = variant.computed(net, unclear) if variant else set()
    wanted = {name for name in absent if name in params} | (set(buffers) - computed)
    return [name for name in absent if name in wanted]


def _is_counter(name: str, tensor: Tensor) -> bool:
    """BatchNorm's: of no use where its momentum is a number, as in all of timm's networks."""
    return name.endswith("num_batches_tracked") and not tensor.is_floating_point()


def _classes(state: State, net: nn.Module) -> int:
    """How many classes the checkpoint's own classifier tells apart; 0 where it has none."""
    outputs = {output_layer(head) for head in classifier_modules(net)}
    names = [f"{name}.weight" for name, module in net.named_modules() if module in outputs]
    weights = [state[name] for name in names if name in state]
    return next((len(weight) for weight in weights if weight.ndim), 0)


def _without_images(loaded: State) -> list[str]:
    """Running statistics that are there and say nothing: a network without them was saved again, say."""
    names = [
        name
        for name, tensor in loaded.items()
        if is_statistic(name) and bool((tensor == name.endswith("running_var")).all())
    ]
    if not names:
        return []
    every = "all" if len(names) == sum(map(is_statistic, loaded)) else "some"
    return [
        f"{every} running statistics in the file are those of layers that have seen no image, mean 0 and variance 1, and a "
        f"frozen network normalises with them: {summarised(names)}"
    ]


def _of_network(own: State, classifier: set[str], initial: Sequence[str]) -> Share:
    backbone = {n: t.numel() for n, t in own.items() if n not in classifier and t.is_floating_point()}
    left = [name for name in initial if name in backbone]
    return Share(
        len(backbone) - len(left), len(backbone), *_elements(backbone.values(), (backbone[n] for n in left))
    )


def _of_file(raw: State, state: State, classifier: set[str], loaded: Sequence[str]) -> Share:
    """Sizes are those in the file; a tensor that timm's converter made of several counts as what it is made of."""
    whole = {n: t.numel() for n, t in raw.items() if n not in classifier and t.is_floating_point()}
    if not set(loaded) <= raw.keys():  # other names after conversion
        whole = {n: t.numel() for n, t in state.items() if n not in classifier and t.is_floating_point()}
    unused = [n for n in whole if n not in set(loaded)]
    return Share(len(whole) - len(unused), len(whole), *_elements(whole.values(), (whole[n] for n in unused)))


def _elements(whole: Iterable[int], left: Iterable[int]) -> tuple[int, int]:
    total = sum(whole)
    return total - sum(left), total


def _patterns(left: Sequence[str], net: nn.Module) -> list[str]:
    """Regular expressions that match the names in `left` and no other tensor of `net`, counters aside.

    Tensors of the same kind in all blocks become one pattern, and so do all of one module: what matches most is taken.
    """
    others = [
        n for n, tensor in net.state_dict().items() if n not in set(left) and not _is_counter(n, tensor)
    ]
    patterns: list[str] = []
    remaining = list(left)
    while remaining:
        exact = [p for p in _candidates(remaining[0]) if not any(re.search(p, other) for other in others)]
        patterns.append(max(exact, key=lambda pattern: sum(bool(re.search(pattern, n)) for n in remaining)))
        remaining = [name for name in remaining if not re.search(patterns[-1], name)]
    return patterns


def _candidates(name: str) -> Iterator[str]:
    """Patterns that match `name`; the last matches no other.

    A dot is left as it is, or in brackets: behind a backslash it is another text in YAML than in a message.
    """
    *parents, _ = parts = name.split(".")
    if is_statistic(name):
        yield "running_(mean|var)$"
    yield from (f"{'.'.join(parts[i:])}$" for i in range(len(parts) - 1, 0, -1))
    for dot in (".", "[.]"):
        yield from (f"^{dot.join(parents[:i])}{dot}" for i in range(1, len(parts)))
        if is_statistic(name):
            yield f"^{dot.join([*parents, 'running_(mean|var)'])}$"
        yield f"^{dot.join(parts)}$"


def _refuse_unknown(allowed: Sequence[str], net: nn.Module) -> None:
    """A pattern that matches no tensor of the network is a typing error."""
    names = list(net.state_dict())
    for pattern in allowed:
        try:
            known = any(re.search(pattern, name) for name in names)
        except (re.error, RecursionError, OverflowError) as error:
            raise UserError(f"allow_missing: {pattern!r} is not a regular expression: {error}") from error
        if not known:
            examples = ", ".join(names[:3])
            raise UserError(
                f"allow_missing: {pattern!r} matches no tensor of {type(net).__name__} ({examples}, ...)"
            )
