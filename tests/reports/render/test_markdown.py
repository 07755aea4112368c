from __future__ import annotations

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
from reports.render.markdown import to_markdown

BLOCKS: list[Block] = [
    Heading("Title", level=1),
    Quote("Why?"),
    Paragraph(""),
    Paragraph("""
        wrapped as
        code is,   and indented
    """),
    Figure("a", "what it shows", lambda: None, "its caption"),
    Figure("b", "another", lambda: None),
    Table(["name", "n"], [["x", "1"]]),
    Caption("below the table"),
    Items(["one", Item("two", ["below it"])]),
    Items([]),
    Verbatim("bench run"),
]

EXPECTED = """\
# Title

> Why?

wrapped as code is, and indented

![what it shows](figures/a.png)

*its caption*

![another](figures/b.png)

| name | n |
| :-- | --: |
| x | 1 |

*below the table*

- one
- two
  - below it

    bench run
"""


def test_blocks_are_separated_by_one_empty_line_and_empty_ones_are_absent() -> None:
    assert to_markdown(BLOCKS) == EXPECTED
