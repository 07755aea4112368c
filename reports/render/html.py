"""Markdown to one HTML file that opens anywhere: images and styles inside, no script, no outside address."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDER = Path(__file__).parent


def to_html(markdown: str, title: str, folder: Path) -> str:
    """Render `markdown`; images are read from `folder`. Raw HTML in the text is shown, not obeyed."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    contents = _anchors(tokens)
    _embed(tokens, folder)
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True)
    style = (FOLDER / "report.css").read_text()
    template = environment.get_template("page.html.j2")
    return template.render(title=title, style=style, body=body, contents=contents)


def _anchors(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give second-level headings an id; return (id, text) for the list of contents."""
    found: list[tuple[str, str]] = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            anchor = re.sub(r"[^a-z0-9]+", "-", inline.content.lower()).strip("-")
            token.attrSet("id", anchor)
            found.append((anchor, html.unescape(inline.content)))
    return found


def _embed(tokens: Sequence[Token], folder: Path) -> None:
    """Replace every image's path by its content. Figures alone write images: user text is escaped."""
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                path = (folder / str(child.attrs["src"])).resolve()
                # figures are named nowhere else; whatever a foreign store's text may bring about
                if not path.is_relative_to(folder.resolve()):
                    raise ValueError(f"{path}: an image of the report outside its folder {folder}")
                content = path.read_bytes()
                child.attrSet("src", f"data:image/png;base64,{base64.b64encode(content).decode()}")
