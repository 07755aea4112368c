"""Secrets are planted in the environment, the command line, a git remote and a crash; nothing that is written has them.

The same study is full of markup and of paths that lead upwards: its report shows them, and obeys none.
"""

from __future__ import annotations

import html.parser
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import matplotlib
import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.core.schema import Tag
from bench.core.secrets import redacted
from bench.tracking import store
from tests.conftest import ROOT
from tests.support.servers import postgres

MARK = "p1anted"
AWKWARD = f"{MARK}@sl/ash:co%lon sp?ce&x"
ADDRESS = f"postgresql://me:{quote(AWKWARD, safe='')}@127.0.0.1:1/db"

SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": f"{MARK}-mlflow-password",
    "MLFLOW_TRACKING_TOKEN": f"{MARK}-mlflow-token",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}/aws+key",
    "HF_TOKEN": f"hf_{MARK}",
    "WANDB_API_KEY": f"{MARK}0123456789",
    "PGPASSWORD": f"{MARK} with space",
    "MY_DATABASE": ADDRESS,
}

STUDY = """
name: hostile
question: "<script>alert(0)</script> {{ 7 * 7 }} [x](javascript:alert(0)) ![x](/etc/hostname)"
datasets:
  - name: folder:images
    label: "../../../<script>alert(3)</script>"
    similarity: similar
    n_per_class: [5]
backbones:
  - {name: test_resnet, random: true, label: "../../<img src=x onerror=alert(4)>"}
strategies:
  - {use: full, label: "![x](/etc/hostname) `$(touch x)` <b>"}
seeds: 2
tune: {trials: 2, storage: searches.journal}
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 4, epochs: 1}
"""

CLASSES = ("<script>alert(1)", "<img src=x onerror=alert(2)>")

ENDED = ("1 failed, 2 finished", "2 failed, 3 finished")
"""A search, and runs of two seeds under one or two settings: the search may choose the defaults."""

CRASHING = """
import os
from bench.execution import worker
from bench.cli.main import main
real = worker.execute
def execute(spec, *rest, **settings):
    if spec.seed == 1:
        told = " ".join(v for k, v in os.environ.items() if "p1anted" in v)
        raise RuntimeError(f"<script>alert(5)</script> cannot reach {told}")
    return real(spec, *rest, **settings)
worker.execute = execute
main()
"""


@dataclass(frozen=True)
class Finished:
    """A study that has run in `folder`, and what it said."""

    folder: Path
    said: str
    uri: str

    @property
    def report(self) -> Path:
        return self.folder / "reports" / "out" / "hostile"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This one's, with the secrets, and with every folder that programs write to inside `folder`."""
    inside = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "xdg"}
    for name in inside.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {key: str(folder / name) for key, name in inside.items()}
    fonts = {"MPLCONFIGDIR": matplotlib.get_cachedir()}  # seconds to make anew
    return {**os.environ, **places, **fonts, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **SECRETS, **more}


def images(folder: Path) -> None:
    """Eight training images of each class, and test images of the first alone: the report remarks on the other."""
    draw = np.random.default_rng(0)
    for split, name, count in (("train", CLASSES[0], 8), ("train", CLASSES[1], 8), ("test", CLASSES[0], 3)):
        (folder / split / name).mkdir(parents=True)
        for i in range(count):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / name / f"{i}.png")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    top = tmp_path_factory.mktemp("secrets")
    folder = top / "a" / "b" / "c"
    images(folder / "images")
    (folder / "study.yaml").write_text(STUDY)
    remote = f"https://me:{MARK}-remote@example.org/x.git"
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], cwd=folder, check=True)
    elsewhere = {"MLFLOW_TRACKING_URI": ADDRESS, "OPTUNA_STORAGE": ADDRESS}
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    unused = [
        "--set",
        f"tune.storage=postgresql://me:{MARK} argv@h/db",
        "--set",
        "tune.storage=searches.journal",
    ]
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, "run", "study.yaml", "--workers", "0", "--store", uri, *unused],
        cwd=folder, env=environment(top / "places", **elsewhere), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 1 and any(said in done.stdout for said in ENDED), done.stdout + done.stderr
    return Finished(folder, done.stdout + done.stderr, uri)


def test_no_file_holds_a_secret(finished: Finished) -> None:
    top = finished.folder.parents[2]
    files = [p for p in top.rglob("*") if p.is_file() and ".git" not in p.parts]
    kinds = {p.suffix for p in files}
    assert {".db", ".journal", ".md", ".html", ".json", ".npy", ".txt"} <= kinds, "all that a study writes"
    assert [p for p in files if MARK.encode() in p.read_bytes()] == []
    assert MARK not in finished.said


def test_a_crash_is_told_without_them(finished: Finished) -> None:
    """They are taken out, and the message is kept."""
    runs = [r for r in store.read_runs(finished.uri, "hostile") if r.tags.get(Tag.STATUS) == "failed"]
    assert runs and "cannot reach" in finished.said
    for run in runs:
        assert "cannot reach" in run.tags[Tag.ERROR] and "postgresql://…@" in run.tags[Tag.ERROR]
    traces = list(finished.folder.rglob("traceback.txt"))
    assert len(traces) == len(runs) and all("RuntimeError" in t.read_text() for t in traces)


def test_the_command_is_told_without_them(finished: Finished) -> None:
    command = store.read_study(finished.uri, "hostile").command
    assert "run study.yaml" in command and "tune.storage=postgresql://" in command and "argv" not in command


def test_mlflow_logs_no_address_of_the_repository(finished: Finished) -> None:
    for run in store.read_runs(finished.uri, "hostile"):
        assert "mlflow.source.git.repoURL" not in run.tags


class Tags(html.parser.HTMLParser):
    """Every element and attribute of a page, as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]


def _tags(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_a_report_obeys_no_markup_of_a_study(finished: Finished) -> None:
    page = (finished.report / "report.html").read_text()
    tags = _tags(page)
    assert {"html", "img", "table"} <= tags.names and not {"script", "b", "iframe"} & tags.names
    assert not [key for key, _ in tags.attributes if key.startswith("on")]
    sources = [value for key, value in tags.attributes if key == "src"]
    assert sources and all(value.startswith("data:image/png;base64,") for value in sources)
    assert all(value.startswith("#") for key, value in tags.attributes if key == "href")
    for number in (0, 2, 3, 4, 5):  # the first class gives no cause for a remark
        assert f"alert({number})" in page, "shown as text"
    assert "{{ 7 * 7 }}" in page


def test_so_in_markdown_where_html_would_be_allowed(finished: Finished) -> None:
    from markdown_it import MarkdownIt

    text = (finished.report / "report.md").read_text()
    tags = _tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    assert not {"script", "b"} & tags.names and not [
        key for key, _ in tags.attributes if key.startswith("on")
    ]
    links = [value for key, value in tags.attributes if key in ("src", "href")]
    assert links and all(value.startswith("figures/") for value in links)


def test_an_image_outside_the_report_is_not_embedded(tmp_path: Path) -> None:
    from reports.render.html import to_html

    (tmp_path / "report").mkdir()
    (tmp_path / "private.png").write_bytes(b"x")
    for path in ("../private.png", str(tmp_path / "private.png")):
        with pytest.raises(ValueError, match="outside its folder"):
            to_html(f"![x]({path})", "title", tmp_path / "report")


def test_nothing_is_written_outside_the_folders_of_a_study(finished: Finished) -> None:
    """Labels that lead upwards are names, not paths."""
    top = finished.folder.parents[2]
    assert {p.name for p in top.iterdir()} == {"a", "places"}
    assert [p.name for p in (top / "a").iterdir()] == ["b"] and [p.name for p in (top / "a/b").iterdir()] == [
        "c"
    ]
    own = {
        "images",
        "study.yaml",
        ".git",
        "mlflow.db",
        "mlruns",
        "searches.journal",
        "reports",
        ".bench-cache",
    }
    assert {p.name for p in finished.folder.iterdir()} == own
    assert [p.name for p in (finished.folder / "mlruns").iterdir()] == ["hostile"]


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{MARK}@host/db",
        f"postgresql://me:{MARK}@sl/ash@host/db",
        f"postgresql+psycopg://me:a {MARK}@host/db",
        f"postgresql://host/db?user=me&password={MARK}&sslmode=require",
        f"bench run --store mysql://me:{MARK}@host/db x.yaml",
        f"API request to http://me:{MARK}@host:5000/api failed",
        f"{MARK}, {SECRETS['AWS_SECRET_ACCESS_KEY']}, {SECRETS['HF_TOKEN']}".replace(f"{MARK}, ", "", 1),
        f"FATAL: wrong password {AWKWARD}",
        f"FATAL: wrong password {quote(AWKWARD, safe='')}",
    ],
)
def test_what_is_taken_out(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    told = redacted(text)
    assert MARK not in told and "…" in told


@pytest.mark.parametrize(
    "text",
    ["sqlite:////a/b@c.db", "a run failed at lr=0.1", "http://host:5000/x", "mail me@host", "1 true false"],
)
def test_what_is_left_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOME_TOKEN", "1")
    monkeypatch.setenv("OTHER_TOKEN", "false")
    assert redacted(text) == text


def test_a_store_that_is_away_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(UserError) as error:
        store.experiments(ADDRESS)
    assert MARK not in str(error.value) and "postgresql://…@" in str(error.value)


@pytest.mark.long
def test_a_study_on_postgresql_with_an_awkward_password(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    images(tmp_path / "images")
    (tmp_path / "study.yaml").write_text(STUDY.replace(", storage: searches.journal", ""))
    with postgres("mlflow", "optuna") as server:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE me SUPERUSER LOGIN PASSWORD '{AWKWARD}'")
        mine = f"postgresql://me:{quote(AWKWARD, safe='')}@{server.rpartition('@')[2]}"
        env = environment(
            tmp_path / "places", MLFLOW_TRACKING_URI=f"{mine}/mlflow", OPTUNA_STORAGE=f"{mine}/optuna"
        )
        command = [sys.executable, "-c", CRASHING, "run", "study.yaml", "--workers", "0"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
        assert any(said in done.stdout for said in ENDED), done.stdout + done.stderr
        assert MARK not in done.stdout + done.stderr
        for database in ("mlflow", "optuna"):
            assert MARK not in _everything(psycopg, f"{mine}/{database}")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert [p for p in files if MARK.encode() in p.read_bytes()] == []


def _everything(psycopg: object, url: str) -> str:
    """All rows of all tables, as text."""
    with psycopg.connect(url) as connection:  # type: ignore[attr-defined]
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [connection.execute(f'SELECT t::text FROM "{name}" t').fetchall() for (name,) in found]
    assert sum(map(len, rows)) > 10
    return repr(rows)
