from __future__ import annotations

from pathlib import Path

import pytest

from reports.render.html import to_html


def test_second_level_headings_are_the_list_of_contents(tmp_path: Path) -> None:
    page = to_html("# A\n\n## What it costs\n\ntext\n\n### Below\n", "a <title>", tmp_path)
    assert '<a href="#what-it-costs">What it costs</a>' in page and '<h2 id="what-it-costs">' in page
    assert "Below</a>" not in page and "<title>a &lt;title&gt;</title>" in page


def test_images_are_inside_and_none_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "a.png").write_bytes(b"png")
    assert 'src="data:image/png;base64,cG5n"' in to_html("![a](a.png)", "t", tmp_path / "report")
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(ValueError, match="outside its folder"):
        to_html("![a](../secret.png)", "t", tmp_path / "report")


def test_raw_html_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    assert "&lt;script&gt;" in to_html("<script>alert(1)</script>", "t", tmp_path)
