"""What a section is made of. Texts are markdown on any number of lines; what users wrote in them is escaped already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Quote:
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Absent where `text` is empty."""

    text: str


@dataclass(frozen=True)
class Caption:
    """Below a table or a figure, in italics."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells are escaped already; columns from `right_from` on are right-aligned."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right_from: int = 1


@dataclass(frozen=True)
class Item:
    """A line of a list, and lines below it."""

    text: str
    below: Sequence[str] = ()


@dataclass(frozen=True)
class Items:
    """A list; absent where it is empty."""

    items: Sequence[str | Item]


@dataclass(frozen=True)
class Verbatim:
    """One line of code."""

    line: str


@dataclass(frozen=True)
class Figure:
    """An image `figures/NAME.png` that `draw` makes, as a matplotlib figure, when the report is written.

    alt: the text in place of the image. caption: '' where a table follows that shares its caption.
    """

    name: str
    alt: str
    draw: Callable[[], Any]
    caption: str = ""


Block = Heading | Quote | Paragraph | Caption | Table | Items | Verbatim | Figure
