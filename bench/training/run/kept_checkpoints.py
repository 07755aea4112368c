"""What travels with the weights that a run keeps, so that another study can use them as its `checkpoint`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from bench.core.spec import RunSpec
from bench.models.build import resolution
from bench.models.checkpoints import record
from bench.models.model import Model
from bench.models.stages import classifier_names
from bench.storage.places import Places
from bench.training.checkpoint import Snapshot
from bench.training.run.ingredients import ensure_source_weights

Shapes = Mapping[str, tuple[int, ...]]


def describe(
    snapshot: Snapshot, model: Model, spec: RunSpec, classes: Sequence[str], places: Places
) -> dict[str, str]:
    """Metadata of the file. `changed` is among it where the weights are not those of the architecture any more."""
    size = spec.train.image_size
    source = ensure_source_weights(spec.backbone, size, places)
    _, crop_pct, interpolation = resolution(spec.backbone, size, places.base, source)
    config = {
        "mean": model.mean,
        "std": model.std,
        "crop_pct": crop_pct,
        "interpolation": interpolation,
        "image_size": model.image_size,
    }
    more = {"run_id": spec.run_id, "strategy": spec.strategy.label}
    if changed := _changed(snapshot, model, spec):
        more["changed"] = changed
    return record.metadata(spec.backbone, config, len(classes), classes, **more)


def _changed(snapshot: Snapshot, model: Model, spec: RunSpec) -> str:
    """How the kept network differs from its architecture, apart from the classifier; empty where it does not."""
    with torch.random.fork_rng(devices=[]):
        plain = model.fresh()
    head = {name.removeprefix("net.") for name in (*model.head.param_names, *model.head.buffer_names)}
    heads = head | classifier_names(plain)
    ours = {k: tuple(v.shape) for k, v in snapshot.weights.items() if k not in heads}
    theirs = {k: tuple(v.shape) for k, v in plain.state_dict().items() if k not in heads}
    different = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if not different:
        return ""
    return (
        f"was kept by a run of {spec.strategy.label!r}, which changed the network itself: {len(different)} of its "
        f"tensors are not as in {spec.backbone.name} ({', '.join(different[:3])}, ...); no network that a study can name "
        "takes these weights"
    )
