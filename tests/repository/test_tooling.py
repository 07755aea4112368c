"""What people and CI run is there, and says the same in each place where it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.load(
    (ROOT / ".github" / "workflows" / "ci.yml").read_text(), yaml.BaseLoader
)  # "on" is a word
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
MAKEFILE = (ROOT / "Makefile").read_text()


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile. Raises AssertionError for one that is not there."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert found, f"make has no {target}"
    return [line.strip().lstrip("@") for line in found[1].splitlines()]


def steps() -> list[dict[str, Any]]:
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_ci_runs_targets_that_make_has() -> None:
    made = {step["run"].split()[1] for step in steps() if step.get("run", "").startswith("make ")}
    assert made == {"lint", "test", "test-wheel", "audit"}
    for target in made:
        assert recipe(target) and re.search(rf"^\.PHONY:.*\b{target}\b", MAKEFILE, re.MULTILINE)


def test_ci_tests_every_python_that_is_promised() -> None:
    promised = [c.rsplit(" ")[-1] for c in PROJECT["project"]["classifiers"] if ":: Python :: 3." in c]
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    low, high = promised[0], promised[-1]
    assert PROJECT["project"]["requires-python"] == f">={low},<3.{int(high.split('.')[1]) + 1}"


def test_ci_may_read_and_ends() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["cancel-in-progress"] == "true"
    for name, job in WORKFLOW["jobs"].items():
        assert int(job["timeout-minutes"]) <= 60 and "permissions" not in job, name
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used), used


def test_hooks_are_valid_and_run_what_is_installed() -> None:
    installed = Path(sys.executable).parent
    subprocess.run(
        [installed / "pre-commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    commands = [hook["entry"].split()[0] for hook in HOOKS]
    assert all(command.startswith(".venv/bin/") for command in commands), commands
    missing = [c for c in commands if not (installed / Path(c).name).is_file()]
    assert not missing, f"not installed by the dev extra: {missing}"


def test_hooks_check_all_that_lint_does() -> None:
    """By the same command, apart from what tells it to say rather than to mend."""
    hooks = [hook["entry"].removesuffix(" --force-exclude") for hook in HOOKS]
    for command in recipe("lint"):
        assert command.removesuffix(" .").removesuffix(" --check") in hooks, command
    assert any("mypy" in command for command in recipe("lint"))


def test_types_are_strict_and_every_exception_has_its_code() -> None:
    settings = PROJECT["tool"]["mypy"]
    assert settings["strict"] and settings["files"] == ["bench", "strategies", "reports"]
    loose = {"ignore_errors", "disallow_untyped_defs", "disallow_any_generics", "disable_error_code"}
    assert not [part for part in [settings, *settings["overrides"]] if loose & part.keys()]
    for folder in settings["files"]:
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"# type: ignore(?!\[)|# mypy:", path.read_text()), (
                f"{path}: an ignore without a code"
            )


def test_the_wheel_takes_every_file_along() -> None:
    """Each that is no Python is package data by name; what is shown or was written here stays out."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package, named in patterns.items():
        found = [p.relative_to(ROOT / package) for p in (ROOT / package).rglob("*") if p.is_file()]
        data = [p for p in found if p.suffix not in (".py", ".pyc") and p.parts[0] not in ("out", "examples")]
        left = [str(p) for p in data if not any(p.match(pattern) for pattern in named)]
        assert data and not left, f"{package}: neither Python nor package data: {left}"
