"""Every relative link and anchor of the documents leads somewhere, and the tree in the README is the one that is there."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
MARKDOWN = MarkdownIt("commonmark").enable("table")
BEFORE = ("docs", "tests", "bench", "strategies", "studies", "reports")


def inline(page: Path) -> list[Token]:
    return [t for block in MARKDOWN.parse(page.read_text()) for t in block.children or []]


def targets(page: Path) -> list[str]:
    """What links and images of a page point at, addresses of other hosts apart."""
    found = [str(t.attrs[key]) for t in inline(page) for key in ("href", "src") if key in t.attrs]
    return [unquote(target) for target in found if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    tokens = MARKDOWN.parse(page.read_text())
    found: set[str] = set()
    for opening, text in pairwise(tokens):
        if opening.type == "heading_open":
            title = "".join(t.content for t in text.children or [])
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name if p.parent == ROOT else f"docs/{p.name}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in targets(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists() and file.is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}; there are {sorted(anchors(file))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name if p.parent == ROOT else f"docs/{p.name}")
def test_files_that_are_named_exist(page: Path) -> None:
    """Code spans such as `tests/repository/test_layers.py` or `bench/data/`."""
    for token in inline(page):
        if token.type == "code_inline" and re.fullmatch(rf"({'|'.join(BEFORE)})/[\w/.-]+", token.content):
            named = token.content
            if "NAME" not in named and not named.startswith("reports/out/"):
                assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_every_page_is_in_the_index() -> None:
    listed = {Path(target).name for target in targets(ROOT / "docs" / "README.md")}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md", "performance-notes.md"}
    assert pages <= listed  # performance-notes.md is a part of performance.md


def test_the_tree_is_what_is_there() -> None:
    (tree,) = re.findall(r"## Repository layout\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    folder, listed = "", set()
    for line in tree.splitlines():
        if line.startswith(" " * 3):  # goes on with what the line above says
            continue
        name = line.split()[0].rstrip(";")
        folder = folder if line.startswith("  ") else name
        listed.add(name if name == folder else folder + name)
    there = {
        f"bench/{path.name}{'/' if path.is_dir() else ''}"
        for path in (ROOT / "bench").iterdir()
        if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
    }
    assert {name for name in listed if re.match(r"bench/.", name)} == there
    assert all((ROOT / name).exists() for name in listed)


def test_what_is_quoted_of_the_example_stands_there() -> None:
    """docs/reading-a-report.md reads one report aloud; a new one of other numbers wants other words."""
    report = " ".join((ROOT / "reports" / "examples" / "quickstart" / "report.md").read_text().split())
    page = (ROOT / "docs" / "reading-a-report.md").read_text()
    quoted = [line.removeprefix("> ") for line in page.splitlines() if line.startswith("> ")]
    assert quoted and all(line in report for line in quoted), quoted
    numbers = [
        n for row in re.findall(r"^\| \*\*.*", page, re.MULTILINE) for n in re.findall(r"\d+\.\d", row)
    ]
    assert len(numbers) >= 6 and all(number in report for number in numbers), numbers


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["message"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"\n## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
