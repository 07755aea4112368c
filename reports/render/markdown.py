"""Blocks to markdown: a paragraph a line, blocks separated by empty lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from reports.render.blocks import (
    Block,
    Caption,
    Figure,
    Heading,
    Item,
    Items,
    Paragraph,
    Quote,
    Table,
    Verbatim,
)
from reports.render.text import table


def to_markdown(blocks: Iterable[Block]) -> str:
    """The whole report. Figures are named as `figures/NAME.png`."""
    return "\n\n".join(filter(None, map(_block, blocks))) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_line(text)}"
        case Quote(text):
            return f"> {_line(text)}"
        case Paragraph(text):
            return _line(text)
        case Caption(text):
            return f"*{_line(text)}*"
        case Table(header, rows, right_from):
            return table(header, rows, right_from)
        case Items(items):
            return "\n".join(_item(item) for item in items)
        case Verbatim(line):
            return f"    {line}"
        case Figure(name, alt, _, caption):
            image = f"![{_line(alt)}](figures/{name}.png)"
            return f"{image}\n\n*{_line(caption)}*" if caption else image
        case _:
            assert_never(block)


def _item(item: str | Item) -> str:
    if isinstance(item, str):
        return f"- {_line(item)}"
    return "\n".join([f"- {_line(item.text)}", *(f"  - {_line(text)}" for text in item.below)])


def _line(text: str) -> str:
    """In sections, long texts are wrapped and indented as code is."""
    return " ".join(text.split())
