from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import reports
from reports.report import file_name, write_study
from tests.support import report_samples as samples
from tests.support.report_samples import Store


class References(HTMLParser):
    """Everything in a page that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            (tag, value or "") for key, value in attrs if key in ("src", "href", "srcset", "action")
        ]
        if tag in ("script", "iframe", "object", "link", "embed", "form"):
            self.found.append((tag, ""))

    def handle_data(self, data: str) -> None:
        self.text += data


def references(page: str) -> References:
    parser = References()
    parser.feed(page)
    return parser


def assert_self_contained(page: str) -> None:
    found = references(page).found
    assert [r for r in found if not r[1].startswith(("data:image/png;base64,", "#"))] == []
    assert "url(" not in page and "@import" not in page


@pytest.fixture(scope="module")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reports.write(store.name, store.uri, tmp_path_factory.mktemp("out"))


def test_report_from_the_store(report: Path) -> None:
    text, page = (report / "report.md").read_text(), (report / "report.html").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert report.name == "sample"
    assert headings == [
        "Answer",
        "As good as the best",
        "Verdicts",
        "Accuracy over images per class",
        "All strategies by cell",
        "Ranking",
        "Ranks over conditions",
        "What it costs",
        "Before and after fine-tuning",
        "Negative transfer",
        "Runs without a result",
        "Data",
        "How good is the advice?",
        "Protocol",
        "Reproduce",
    ]
    assert "**47 of 48 planned runs have finished** (1 diverged)." in text
    assert "loss is nan at step 7" in text and "3 duplicate images" in text
    assert "`tiny`: pretrained here" in text and r"| linear\_probe(lr=0.1) | uniform |" in text
    assert "bench run studies/sample.yaml" in text and "versions: torch 2.13.0, timm 1.0.31 (48 runs)" in text
    assert "on CPU it is the process' peak resident size" in text
    assert_self_contained(page)
    assert page.count("data:image/png") == len(list((report / "figures").iterdir()))


def test_captions_of_accuracies_name_the_selection(report: Path) -> None:
    """Captions are the paragraphs in italics below figures and tables."""
    paragraphs = (report / "report.md").read_text().split("\n\n")
    captions = [text for text in paragraphs if re.fullmatch(r"\*[^*].*\*\s*", text, re.DOTALL)]
    assert len(captions) > 10
    accuracies = [text for text in captions if "test accuracy" in text]
    assert len(accuracies) > 5 and all("test set evaluated once" in text for text in accuracies)


def test_figures_lie_beside_the_report(report: Path) -> None:
    found = {f"figures/{path.name}" for path in (report / "figures").iterdir()}
    shown = re.findall(r"!\[.*\]\((.*)\)", (report / "report.md").read_text())
    assert len(shown) == len(found) and set(shown) == found > {"figures/matrix.png", "figures/ranking.png"}


def test_reports_are_reproducible(store: Store, report: Path, out: Path) -> None:
    again = reports.write(store.name, store.uri, out)
    for path in sorted(p.relative_to(report) for p in report.rglob("*") if p.is_file()):
        assert (report / path).read_bytes() == (again / path).read_bytes(), path


@pytest.mark.parametrize("kept", [0, 1, 13])
def test_unfinished(out: Path, kept: int) -> None:
    study = samples.document()
    folder = write_study(samples.joined(study, samples.all_stored(study)[:kept]), "part", out)
    text = (folder / "report.md").read_text()
    assert f"**{kept} of 48 planned runs have finished**" in text and ("provisional" in text) == (kept > 0)
    assert (folder / "figures" / "matrix.png").exists()
    assert ("No run has finished" in text) == (kept == 0)
    assert_self_contained((folder / "report.html").read_text())


def test_stale_figures_of_an_earlier_report_go(out: Path) -> None:
    study = samples.document()
    write_study(samples.joined(study, samples.all_stored(study)), "s", out)
    folder = write_study(samples.joined(study, []), "s", out)
    assert [path.name for path in (folder / "figures").iterdir()] == ["matrix.png"]


def test_hostile_strings_do_not_act(out: Path) -> None:
    bad = "<script>alert(1)</script> ![x](http://evil.example/x.png) | `a` $x^2$ *b*"
    accuracy = {"fine": {10: {bad: 0.5, "linear_probe": 0.6, "full": 0.7}}}
    study = samples.document(accuracy, rule={"similar-small": bad})
    study["question"] = f"1. {bad}"
    study["datasets"][0]["notes"] = [bad]
    folder = write_study(samples.joined(study, samples.all_stored(study, accuracy)), "../<b>x/y", out)
    assert folder.parent == out
    page = (folder / "report.html").read_text()
    assert_self_contained(page)
    assert (
        "<script>alert(1)</script> ![x](http://evil.example/x.png) | `a` $x^2$ *b*" in references(page).text
    )


def test_passwords_stay_out(out: Path) -> None:
    study = samples.document() | {"store": "postgresql://me:secret@host/db"}
    text = (write_study(samples.joined(study, []), "s", out) / "report.md").read_text()
    assert "secret" not in text and "host/db" in text


def test_many_strategies_and_backbones(out: Path) -> None:
    names = ["linear_probe", *(f"full + head_x10 + l2_sp {i}" for i in range(12))]
    accuracy = {
        "fine": {n: {name: 0.5 + 0.01 * i for i, name in enumerate(names)} for n in (10, 20, 50, 200)}
    }
    study = samples.document(accuracy, backbones=["tiny", "small"])
    folder = write_study(samples.joined(study, samples.all_stored(study, accuracy)), "s", out)
    text = (folder / "report.md").read_text()
    assert "they are averaged first, and count once" in text and "With more than 8 strategies" in text


@pytest.mark.parametrize(
    ("name", "expected"), [("a/b", "a-b"), ("..", "study"), ("ok-1", "ok-1"), (".x", "x")]
)
def test_file_name(name: str, expected: str) -> None:
    assert file_name(name) == expected
