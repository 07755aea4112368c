"""What a synthetic dataset is drawn from. Torch-free: a study is planned from it."""

from __future__ import annotations

from dataclasses import dataclass

ALIENS = ("spectro", "glyph")


@dataclass(frozen=True)
class Recipe:
    """What a synthetic dataset is drawn from.

    similarity: 1 takes images of the source's family, 0 of the `alien` family, between blends both per image.
    spread: 1 leaves class prototypes where they are drawn, less pulls them towards their mean, so classes
    look alike. key: integers that, with `draw`, seed the prototypes; datasets with one key share them.
    """

    key: int
    num_classes: int
    similarity: float
    alien: str = "glyph"
    spread: float = 1.0
    draw: int = 0
