"""Truncation: cut off the last layers and put a new head on what is left (document 001).

timm's `prune_intermediate_layers` drops the last k stages and what is made for their width: the convolution before an
EfficientNet's or MobileNet's head, a ConvNeXt's last norm (its head then sees plain features). A ViT keeps its last
norm. The network really shrinks, in parameters, FLOPs and time.
"""

import inspect
from typing import Any

from bench.methods.api import Model, Phases, Task, Transform, UserError, hyperparameter, torch


class Truncate(Transform):
    """Drop the last k stages and train a new head on the features below them."""

    source = "document 001; Yosinski et al. 2014, arXiv:1411.1792"
    when = "Targets unlike the source, whose classes need none of the last, most specialised layers; cheaper runs."
    against = "Where source and target are alike, the layers that are thrown away are the best ones."
    needs = ()

    k: int = hyperparameter(1, 1, 2)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        cut_off(model, self.k)
        yield from phases


def cut_off(model: Model, k: int) -> None:
    """Drops the last k stages of `model`. Raises `UserError` where that cannot be done."""
    net, stages = model.net, len(model.stages)
    kind = type(net).__name__
    if not 1 <= k < stages:
        raise UserError(f"truncate: k is {k}, but of the backbone's {stages} stages 1..{stages - 1} can go")
    prune = getattr(net, "prune_intermediate_layers", None)
    if prune is None:
        raise UserError(f"truncate: timm has no way to cut stages off a {kind}")
    pools = (getattr(module, "pool_type", None) for module in net.modules())
    pool = next((pool for pool in pools if isinstance(pool, str)), None)
    # timm counts an EfficientNet's stages by their resolution, unless it is asked to count them all
    every = {"extra_blocks": True} if "extra_blocks" in inspect.signature(prune).parameters else {}

    def cut(net: Any) -> None:
        net.prune_intermediate_layers([-1 - k], prune_head=False, **every)
        net.reset_classifier(model.num_classes, pool)

    try:
        model.modify(cut)
        model.replace_head(lambda head: head)
        device = next(model.parameters()).device
        logits = model.eval_output(
            torch.zeros(1, 3, model.image_size, model.image_size, device=device)
        ).logits
    except Exception as error:  # whatever timm's model modification, or the network after it, fails with
        raise UserError(f"truncate: {k} stages cannot be cut off this {kind}: {error}") from error
    if len(model.stages) != stages - k or logits.shape != (1, model.num_classes):
        raise UserError(f"truncate: {k} stages cannot be cut off a {kind} without breaking it")
