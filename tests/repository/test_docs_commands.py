"""Every command of the documents works: those of seconds are run, in a small workspace; of the others all but the running.

It has a study of each name that the documents use, of a few runs, and a store in which they end up. A command that
is of no known kind fails: it wants a line here that says how it is tried.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from typer.testing import CliRunner

from bench.cli import main as cli
from bench.execution.executors.inline import InlineExecutor
from bench.planning import load, plan
from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "strategies.md"),
]
STUDY = """
name: NAME
question: Do the commands of the documents work?
datasets: [{name: synthetic/fine, options: {pool_per_class: 6, test_per_class: 2}, similarity: similar, n_per_class: 5}]
backbones: [{name: test_resnet, random: true}]
strategies: [linear_probe, full]
hyperparameters: {full: {lr: 0.001}}
seeds: 1
train: {image_size: 32, precision: fp32, batch_size: 16, epochs: 1}
matrix: {small_at_most: 5}
system_metrics: false
"""
YOUR_FOLDER = "datasets: [{name: 'folder:../data/my-images', similarity: similar, n_per_class: 5}]"
PLACEHOLDERS = {
    "PATH": "data/my-images",
    "STUDY": "studies/quickstart.yaml",
    "FILE": "studies/quickstart.yaml",
    "NAME": "quickstart",
    "studies/NAME.yaml": "studies/quickstart.yaml",
}
SMALLER = {
    "resnet18": "test_resnet",
    "mobilenetv2_100": "test_resnet",
    "--pretrained": "--set=random=true",
}
"""What a command of the documents asks for, and what it is given here, as the other takes time or a download."""

ELSEWHERE = {
    "docker": "tests/execution/test_clusters_page.py",
    "sudo": "tests/support/servers.py",
    "mlflow": "tests/execution/test_clusters_page.py",
    "optuna-dashboard": "tests/tuning/test_dashboard.py",
    "ray": "tests/execution/executors/test_ray.py",
    "ssh": "",
}
"""Programs that are not ours -> the test of what they are used for."""

LONGER = {
    "verify": "tests/execution/verification/test_verify.py",
    "answer": "tests/reports/answer/test_page.py",
}
"""Commands of ours of minutes, or of a study of many datasets -> the test that runs them."""

OURS = ("bench", "make", "pytest", "python", "pip", ".venv/bin/python", *ELSEWHERE)
FAR = {"--address", "--executor"}
"""Options with which a command needs a cluster."""


@dataclass(frozen=True)
class Block:
    kind: str  # a fence's language, or "span"
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced and indented code, and code within lines that begins like a command."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            found.append(Block(token.info or ("sh" if token.type == "code_block" else ""), token.content))
        for span in token.children or []:
            if span.type == "code_inline" and span.content.split(" ")[0] in OURS:
                found.append(Block("span", span.content))
    return found


def commands(text: str) -> list[list[str]]:
    """Words of each command: comments, line breaks and redirections apart."""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    split = (shlex.split(line, comments=True) for line in lines)
    return [words[: words.index(">")] if ">" in words else words for words in split if words]


@dataclass
class Workspace:
    """A folder in which the commands of the documents are typed."""

    folder: Path
    typed: dict[tuple[str, ...], str] = field(default_factory=dict)

    def bench(self, *words: str) -> str:
        """What it prints. The same command is run once."""
        if words not in self.typed:
            result = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
            assert result.exit_code == 0, f"bench {shlex.join(words)}: {result.output}"
            self.typed[words] = result.stdout
        return self.typed[words]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "studies").mkdir()
    for study in (ROOT / "studies").glob("*.yaml"):
        (folder / "studies" / study.name).write_text(STUDY.replace("NAME", study.stem))
    own = re.sub(r"datasets: .*", YOUR_FOLDER, STUDY.replace("NAME", "your-folder"))
    (folder / "studies" / "your-folder.yaml").write_text(own)
    for k, name in enumerate(("cat", "dog")):
        (folder / "data" / "my-images" / name).mkdir(parents=True)
        for i in range(8):
            colour = (100 * k + i, 7 * i, 90)
            Image.new("RGB", (32, 32), colour).save(folder / "data" / "my-images" / name / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variable in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE"):
            patch.delenv(variable, raising=False)
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        for command in ("profile", "similarity"):
            patch.setattr(
                f"bench.cli.commands.{command}.local_pool", lambda *args, **kwargs: InlineExecutor()
            )
        patch.setattr("os.execve", lambda *args: None)  # `bench ui` becomes MLflow's server
        made = Workspace(folder)
        made.bench("run", "studies/quickstart.yaml", "--workers", "0", "--no-report")
        yield made


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name if p.parent == ROOT else f"docs/{p.name}")
def test_commands_work(page: Path, workspace: Workspace) -> None:
    for block in blocks(page):
        if block.kind == "yaml":
            try_study(workspace, block.text)
        elif block.kind == "python":
            exec(compile(block.text, str(page), "exec"), {})
        elif block.kind == "span":
            (words,) = commands(block.text)
            try_command(workspace, words, whole=False)
        elif block.kind == "sh":
            for words in commands(block.text):
                try_command(workspace, words, whole=True)
        else:
            assert block.kind == "", f"code of a kind that is not known: {block.kind}"
            for line in block.text.splitlines():
                assert line.split(" ")[0] not in OURS, f"a command in a fence that does not say sh: {line}"


def try_command(workspace: Workspace, words: list[str], whole: bool) -> None:
    """whole: as one would type it; otherwise it stands in a sentence, perhaps without its arguments."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program, *rest = words
    if program == "bench" and not rest:
        assert not whole, "`bench` alone is a name, and no command to type"
    elif program == "bench":
        try_bench(workspace, rest, whole)
    elif program == "make":
        try_make(rest)
    elif program in ("pytest", "python", ".venv/bin/python"):
        try_python(["-m", "pytest", *rest] if program == "pytest" else rest)
    elif program == "pip":
        try_pip(rest)
    elif program == "export":
        for assignment in rest:
            known = [*(ROOT / "bench").rglob("*.py"), ROOT / "docs" / "compose.yaml"]
            name = assignment.partition("=")[0]
            assert name == "PGPASSWORD" or any(name in path.read_text() for path in known), name
    elif program == "cp":
        source, target = rest
        assert (ROOT / source).is_file()
        shutil.copy(source, target)
    elif program == "source":
        assert rest == [".venv/bin/activate"] and "venv --quiet" in (ROOT / "Makefile").read_text()
    elif program.startswith(".venv/bin/"):
        installed = " ".join(project()["optional-dependencies"]["dev"])
        assert re.search(rf"\b{program.removeprefix('.venv/bin/')}>=", installed), program
    else:
        assert program in ELSEWHERE, f"a command of no known kind: {shlex.join(words)}"
        assert (ROOT / ELSEWHERE[program]).exists()


def try_bench(workspace: Workspace, words: list[str], whole: bool) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in words if word != "..."]
    group = typer.main.get_command(cli.app)
    command: click.Command = group.commands[words[0]]  # type: ignore[attr-defined]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= known, f"bench {words[0]} knows no {used - known}"
    if not whole:
        return
    command.make_context(words[0], list(words[1:]))
    plan_the_real_study(workspace, words)
    if used & FAR:
        return
    if words[0] in LONGER:
        assert (ROOT / LONGER[words[0]]).exists()
        return
    words = [SMALLER.get(word, word) for word in words]
    extra = {"run": ["--workers", "0", "--no-report"], "profile": ["--workers", "0"], "ui": []}
    assert workspace.bench(*words, *extra.get(words[0], [])).strip()


def plan_the_real_study(workspace: Workspace, words: list[str]) -> None:
    """With what the command overrides. Those of data that are not part of the product are planned in tests/repository/test_layers.py."""
    sets = [word for option, word in pairwise(words) if option == "--set"]
    for word in words:
        path = ROOT / word
        if word.endswith(".yaml") and word != "studies/mine.yaml":
            study = load.load(path, sets)
            if not any(entry.name.startswith("folder:") for entry in study.datasets):
                assert plan.make(study, path, workspace.folder / "cache").runs


def try_make(words: list[str]) -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(phony.split()), words


def try_python(words: list[str]) -> None:
    """A module or file of ours; of pytest, files and markers that there are."""
    words = [word for word in words if word != "-s"]
    if words[:2] == ["-m", "pytest"]:
        rest = words[2:]
        if "-m" in rest:
            assert rest.pop(rest.index("-m") + 1) in ("long", "not long")
        if "-k" in rest:
            rest.pop(rest.index("-k") + 1)
        if "-p" in rest:
            plugin = ROOT / rest.pop(rest.index("-p") + 1).replace(".", "/")
            assert plugin.with_suffix(".py").exists(), words
        files = [word for word in rest if not word.startswith("-")]
        assert files and all((ROOT / file).exists() for file in files), words
    elif words[0] == "-c":
        compile(words[1].replace("...", "torch"), "a command", "exec")
    elif words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), words
    else:
        assert (ROOT / words[0]).exists(), words


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def try_pip(words: list[str]) -> None:
    """Extras of ours exist; others are named as constraints.txt pins them."""
    assert words[0] == "install"
    if "-c" in words:
        assert (ROOT / words.pop(words.index("-c") + 1)).exists()
    for name, extra in re.findall(r"([\w-]+)(?:\[([\w-]+)\])?", " ".join(w for w in words[1:] if w != "-c")):
        if name == project()["name"]:
            assert extra in project()["optional-dependencies"], extra
        else:
            assert re.search(rf"^{name}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE), name


def try_study(workspace: Workspace, text: str) -> None:
    """A whole study plans; a section does in place of that of a small one."""
    given = yaml.safe_load(text)
    small = {**yaml.safe_load(STUDY), "strategies": ["linear_probe", "full + head_x10 + l2_sp"]}
    content = given if "datasets" in given else {**small, **given}
    if any(entry["name"] == "folder:../photos" for entry in content["datasets"]):
        for name in ("cat", "dog"):
            (workspace.folder / "photos" / name).mkdir(parents=True, exist_ok=True)
            for i in range(75):
                (workspace.folder / "photos" / name / f"{i}.jpg").touch()  # planning opens none
    path = workspace.folder / "studies" / "documents.yaml"
    path.write_text(yaml.safe_dump(content))
    study = load.load(path)
    if not any(entry.checkpoint for entry in study.backbones):  # a file of the reader's
        assert plan.make(study, path, workspace.folder / "cache").runs


def test_a_command_that_does_not_exist_is_found(workspace: Workspace) -> None:
    for wrong in (
        "bench rum studies/quickstart.yaml",
        "bench run studies/quickstart.yaml --wokers 2",
        "bench run studies/quickstart.yaml --set strategies=[fulll]",
        "bench plan studies/quickstarts.yaml",
        "bench strategies l3_sp",
        "make tests",
        "python -m tests.benchmarks.nothing",
        "pytest tests/test_nothing.py",
        "pip install 'finetune-bench[rays]'",
        "curl https://example.org",
    ):
        with pytest.raises(Exception):  # noqa: B017
            (words,) = commands(wrong)
            try_command(workspace, words, whole=True)
