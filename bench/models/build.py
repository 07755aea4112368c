"""Builds a `Model` from its spec: architecture, weights, input size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.core.errors import NeedsWeights, UserError
from bench.core.spec import BackboneSpec
from bench.models import kwargs, names
from bench.models.checkpoints import preprocessing as brought
from bench.models.checkpoints.fitting import Incomplete
from bench.models.checkpoints.hub import withheld
from bench.models.checkpoints.keys import State
from bench.models.checkpoints.loading import LoadReport, load_checkpoint, load_state
from bench.models.checkpoints.variant import Variant
from bench.models.classifiers import as_one, share_features
from bench.models.data_config import DataConfig, resolve
from bench.models.model import Model, no_source_head, renew
from bench.models.stages import classifier_modules, classifier_names, head_modules
from bench.storage.places import place

HUB = "timm's weights"


def build(
    spec: BackboneSpec,
    num_classes: int,
    image_size: int | None = None,
    base: Path = Path("."),
    source_checkpoint: Path | None = None,
) -> Model:
    """The model of `spec`, in train mode on the CPU, always with a newly initialised head.

    Random weights come from torch's current random state: seed it first. `base`: folder of relative
    checkpoint paths. Raises `UserError` on an unknown name or keyword argument, or a size or checkpoint that
    does not fit.
    """
    checkpoint = _checkpoint(spec, base, source_checkpoint)
    spec = brought.applied(spec, checkpoint) if spec.weights == "checkpoint" and checkpoint else spec
    config = _resolve(spec, image_size, checkpoint)
    create = partial(_create, spec, num_classes, config)
    if spec.weights == "pretrained":
        with withheld() as seen:
            net = create(pretrained=True)
        report = _load(net, spec, config, checkpoint, seen.get(net))
    else:
        net = create()
        report = _load(net, spec, config, checkpoint, None)
    with _named(spec):
        _check_size(net, config)
    if not classifier_modules(net):
        raise UserError(
            f"backbone {spec.label or spec.name!r} cannot be used: {type(net).__name__} has no classifier"
        )
    shared = share_features(net, classifier_modules(net), config.image_size)
    source_head = partial(_load_source_head, spec, config, checkpoint, report, shared)
    size = config.image_size
    return Model(net, create, num_classes, config.mean, config.std, size, report, source_head, shared)


def resolution(
    spec: BackboneSpec,
    image_size: int | None = None,
    base: Path = Path("."),
    source_checkpoint: Path | None = None,
) -> tuple[int, float, str]:
    """(image size in pixels, crop_pct, interpolation) that `build` would use, without building."""
    config = _resolve(spec, image_size, _checkpoint(spec, base, source_checkpoint))
    return config.image_size, config.crop_pct, config.interpolation


def remarks(spec: BackboneSpec, image_size: int | None, base: Path = Path(".")) -> list[str]:
    """What a backbone's checkpoint says of its preprocessing, what is assumed, and what the study says otherwise."""
    checkpoint = _checkpoint(spec, base, None)
    if checkpoint is None:
        return []
    return brought.remarks(spec, checkpoint, vars(_resolve(spec, image_size, checkpoint)))


def _resolve(spec: BackboneSpec, image_size: int | None, checkpoint: Path | None) -> DataConfig:
    names.check(spec.name)
    return resolve(spec, image_size, checkpoint)


def _checkpoint(spec: BackboneSpec, base: Path, source_checkpoint: Path | None) -> Path | None:
    """The file whose weights are to be loaded, if any."""
    if spec.weights == "source":
        return source_checkpoint
    if spec.weights != "checkpoint":
        return None
    if not spec.checkpoint:
        raise UserError(f"backbone {spec.name!r}: weights are 'checkpoint', but no checkpoint is given")
    return place(base, spec.checkpoint)


def _create(spec: BackboneSpec, num_classes: int, config: DataConfig, pretrained: bool = False) -> nn.Module:
    import timm

    kwargs.check(spec.name, spec.kwargs)
    size = {"img_size": config.image_size} if _needs_size(spec.name, config) else {}
    settings = {**spec.kwargs, **size, "num_classes": num_classes}
    try:
        net = timm.create_model(spec.name, pretrained=pretrained, **settings)
    except TypeError as error:
        raise UserError(f"backbone {spec.name!r}: kwargs {spec.kwargs} do not fit: {error}") from error
    except Exception as error:  # whatever a constructor, or the hub, fails with
        raise UserError(_explain(spec, config, pretrained, error)) from error
    for module in head_modules(net):  # pretrained ones too: timm keeps one that happens to fit
        renew(module)
    return net


def _explain(spec: BackboneSpec, config: DataConfig, pretrained: bool, error: Exception) -> str:
    if pretrained:
        return (
            f"backbone {spec.name!r}: the pretrained weights could not be fetched "
            f"({type(error).__name__}: {error}). "
            "To use a local file instead, set weights to 'checkpoint' and checkpoint to its path"
        )
    return (
        f"backbone {spec.name!r}: cannot be built for {config.image_size} pixels with kwargs {spec.kwargs}: "
        f"{type(error).__name__}: {error}"
    )


def _needs_size(name: str, config: DataConfig) -> bool:
    """Whether the net is built for one input size, and that is not its native one."""
    import timm

    cfg = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return config.image_size != config.native_size and cfg is not None and cfg.fixed_input_size


def _load(
    net: nn.Module, spec: BackboneSpec, config: DataConfig, checkpoint: Path | None, hub: State | None
) -> LoadReport:
    """hub: the tensors that timm would have loaded."""
    everything = list(net.state_dict())
    variant = Variant(partial(_variant, spec, config), config.image_size, config.native_size)
    if spec.weights == "random":
        return LoadReport(missing=everything, source="random weights")
    if spec.weights == "pretrained" and hub is None:  # weights that timm copies by itself, tensor by tensor
        head = classifier_names(net)
        backbone = [name for name in everything if name not in head]
        return LoadReport(backbone, sorted(head), backbone_share=1.0, source=HUB)
    with _named(spec):
        if hub is not None:
            report = load_state(net, hub, HUB, HUB, False, spec.allow_missing, variant)
            report = replace(report, resized=variant.resized(net, report.loaded))
        elif checkpoint is None:
            raise Incomplete("weights are 'source', but there is no source checkpoint")
        else:
            report = load_checkpoint(
                net, checkpoint, spec.rename, False, spec.allow_missing, variant, spec.key
            )
    return replace(report, remarks=[*report.remarks, *_uneven(config)]) if report.stems else report


def _variant(spec: BackboneSpec, config: DataConfig, **changes: Any) -> nn.Module:
    """The backbone with a classifier of two classes and the given arguments of `timm.create_model` changed."""
    import timm

    size = {"img_size": config.image_size} if _needs_size(spec.name, config) else {}
    net: nn.Module = timm.create_model(spec.name, **{**spec.kwargs, **size, "num_classes": 2, **changes})
    return net


@contextmanager
def _named(spec: BackboneSpec) -> Iterator[None]:
    """What does not fit is said with the label of the backbone in the study."""
    try:
        yield
    except Incomplete as error:
        raise UserError(f"backbone {spec.label or spec.name!r}: {error}") from error


def _uneven(config: DataConfig) -> list[str]:
    """Grey images are alike in all channels only where they are normalised alike."""
    if len(set(config.mean)) == len(set(config.std)) == 1:
        return []
    means, stds = (", ".join(f"{value:.3g}" for value in values) for values in (config.mean, config.std))
    return [
        f"its channels are normalised differently (mean {means}, std {stds}), so that a grey image is not what it was to "
        "the layer of one channel: `data_config` of three equal means and stds, those it was trained with, puts it right"
    ]


def _load_source_head(
    spec: BackboneSpec, config: DataConfig, checkpoint: Path | None, report: LoadReport, shared: bool
) -> nn.Module:
    """The classifier that the weights were pretrained with. Raises `UserError` where there is none, or not all of it."""
    if spec.weights == "pretrained":
        import timm

        return as_one(
            classifier_modules(timm.create_model(spec.name, pretrained=True, **spec.kwargs)), shared
        )
    if checkpoint is None or not report.source_classes:
        return no_source_head()
    net = _create(spec, report.source_classes, config)
    variant = Variant(partial(_variant, spec, config), config.image_size, config.native_size)
    report = load_checkpoint(net, checkpoint, spec.rename, True, spec.allow_missing, variant, spec.key)
    owned = {name for name, _ in net.named_parameters()} & classifier_names(net)
    if lacking := sorted(owned - set(report.loaded)):
        raise NeedsWeights(
            f"the classifier that the backbone was pretrained with is not whole: {checkpoint.name} has no "
            f"{', '.join(lacking[:4])} that fits"
        )
    return as_one(classifier_modules(net), shared)


def _check_size(net: nn.Module, config: DataConfig) -> None:
    """Tries one image where the size is not native. Raises `UserError` where the net cannot take it."""
    size = config.image_size
    if size == config.native_size:
        return
    patch = _patch(net)
    if size % patch:
        raise Incomplete(f"image_size {size} is not a multiple of {type(net).__name__}'s patch size {patch}")
    mode = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, 3, size, size))
    except Exception as error:
        raise Incomplete(f"image_size {size} does not fit {type(net).__name__}: {error}") from error
    finally:
        net.train(mode)


def _patch(net: Any) -> int:
    from timm.layers import PatchEmbed

    embeds = [m for m in net.modules() if isinstance(m, PatchEmbed) and not m.dynamic_img_pad]
    return max((max(m.patch_size) for m in embeds[:1]), default=1)
