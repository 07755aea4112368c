"""Finding a network's residual blocks, whatever its architecture calls them."""

from __future__ import annotations

from torch import nn


def block_names(net: nn.Module) -> list[str]:
    """The members of the network's innermost sequences of composite modules: ResNet's and ViT's blocks, and the like."""
    names = []
    for name, module in net.named_modules():
        members = [(f"{name}.{n}".lstrip("."), m) for n, m in module.named_children()]
        if is_sequence(module):
            names += [n for n, m in members if is_composite(m) and not is_sequence(m) and not holds_blocks(m)]
    return names


def holds_blocks(module: nn.Module) -> bool:
    return any(
        is_composite(member)
        for inner in module.modules()
        if is_sequence(inner)
        for member in inner.children()
    )


def is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList)


def is_composite(module: nn.Module) -> bool:
    """Whether it is made of several modules, some with weights: a lone convolution or normalisation is not."""
    return any(True for child in module.children() for _ in child.parameters())
