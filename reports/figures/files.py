"""Draws the figures that sections ask for, into files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reports.figures.style import save, style
from reports.render.blocks import Block, Figure


def draw(blocks: Iterable[Block], folder: Path) -> None:
    """Write a PNG into `folder` for each `Figure` of `blocks`, in place of all that an earlier report left there."""
    for earlier in folder.glob("*.png"):
        earlier.unlink()
    with style():
        for block in blocks:
            if isinstance(block, Figure):
                save(block.draw(), folder / f"{block.name}.png")
