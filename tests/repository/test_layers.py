"""The architecture, held by tests: packages in layers, who may touch which library, and that planning stays light."""

from __future__ import annotations

import importlib.util
import re
import resource
import shutil
import struct
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

import pytest

import strategies
from tests.conftest import ROOT
from tests.repository.imports import imports

if TYPE_CHECKING:
    from bench.planning.study import Study


LAYERS = [
    "bench.core",  # errors, specs, names of tags and metrics, seeds, processes
    "bench.storage",  # whole files, arrays, weights, locks
    "bench.models",  # timm backbones and checkpoints
    "bench.data",
    "bench.methods",  # what a strategy is written against
    "strategies",
    "bench.planning",  # from a study file to runs: torch-free
    "bench.training",
    "bench.similarity",
    "bench.tracking",  # MLflow: writing runs, reading the store
    "bench.tuning",
    "reports",
    "bench.execution",  # from a plan to finished runs
    "bench.profiling",
    "bench.advice",
    "bench.cli",
]
"""From the bottom up: a package imports packages above it in this list, never one below."""


def layer(module: str) -> str | None:
    """The package that a module of ours lies in."""
    return next((name for name in LAYERS if module == name or module.startswith(f"{name}.")), None)


def files(folder: str) -> list[Path]:
    return [p for p in sorted((ROOT / folder).rglob("*.py")) if "out" not in p.relative_to(ROOT).parts]


def users(package: str, folders: tuple[str, ...] = ("bench", "strategies", "reports")) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in files(folder)
        if any(name == package or name.startswith(f"{package}.") for name in imports(path))
    }


def test_only_tracking_touches_mlflow() -> None:
    found = users("mlflow")
    assert found and all(name.startswith("bench/tracking/") for name in found), found


def test_only_the_engine_of_searches_touches_optuna() -> None:
    assert users("optuna") == {
        "bench/tuning/compat.py",
        "bench/tuning/engine.py",
        "bench/tuning/samplers.py",
        "bench/tuning/storage.py",
    }


def test_only_final_runs_open_test_images() -> None:
    """The function that reads them is used where a final run ends and where a source's accuracy is told."""
    found = {
        str(path.relative_to(ROOT))
        for path in files("bench")
        if "bench.data.prepare.load_test" in imports(path)
    }
    assert found == {"bench/training/run/execute.py", "bench/training/run/pretrain.py"}
    execute, together = (
        (ROOT / f"bench/training/run/{name}.py").read_text() for name in ("execute", "together")
    )
    assert execute.count("load_test(") == 1 and "load_test" not in together
    users_of_it = {
        str(p.relative_to(ROOT)) for p in files("bench") if re.search(r"\bopen_test_images\b", p.read_text())
    }
    assert users_of_it == {"bench/training/run/execute.py", "bench/training/run/together.py"}
    for source in (execute, together):
        assert source.count("def try_out") == 1
        body = source.split("def try_out")[1].split("def ")[0]
        assert "score_validation" in body and "_test" not in body


def test_under_bench_are_packages_only() -> None:
    inside = {p.name for p in (ROOT / "bench").iterdir()} - {"__pycache__", "py.typed"}
    packages = {name.removeprefix("bench.") for name in LAYERS if name.startswith("bench.")}
    assert inside == packages | {"__init__.py", "__main__.py"} and len(packages) <= 14


def test_packages_import_only_from_layers_below() -> None:
    for place, package in enumerate(LAYERS):
        for path in files(package.replace(".", "/")):
            used = {found for found in map(layer, imports(path)) if found}
            above = used & set(LAYERS[place + 1 :])
            assert not above, f"{path.relative_to(ROOT)} of {package} imports {above}"


def test_no_files_import_each_other() -> None:
    """Not in a circle either, nor for the sake of a type."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("bench", "strategies", "reports")
        for path in files(folder)
    }
    graph = {
        name: {found for found in imports(path) if found in modules} - {name, *parents(name)}
        for name, path in modules.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)  # CycleError names the circle


def parents(name: str) -> set[str]:
    """The packages that a module lies in: naming one of its modules names them too."""
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def test_only_figures_draw() -> None:
    drawing = users("seaborn") | users("matplotlib")
    assert drawing and all(name.startswith("reports/figures/") for name in drawing)


def test_a_report_is_analysed_put_into_words_and_drawn_apart() -> None:
    """Numbers know no words, drawing knows no section, and no section knows more of another than its words."""
    below = {
        "analysis": {"analysis"},
        "render": {"analysis", "render"},
        "figures": {"analysis", "render", "figures"},
        "sections": {"analysis", "render", "figures", "sections"},
    }
    for folder, known in below.items():
        for path in files(f"reports/{folder}"):
            used = {name.split(".")[1] for name in imports(path) if name.startswith("reports.")}
            assert used <= known, f"{path.relative_to(ROOT)}: {used - known}"


def test_every_section_is_in_the_report_once() -> None:
    from reports.report import SECTIONS

    there = {f"reports.sections.{path.stem}" for path in files("reports/sections") if path.stem != "__init__"}
    listed = [section.__module__ for section in SECTIONS]
    assert sorted(listed) == sorted(there)


def test_files_of_the_reports_are_short() -> None:
    for path in files("reports"):
        assert len(path.read_text().splitlines()) <= 215, f"{path.relative_to(ROOT)} is long for one thing"


def test_reports_know_the_store_and_no_torch() -> None:
    assert not users("torch", ("reports",)) and not users("timm", ("reports",))
    allowed = {"bench.core", "bench.storage", "bench.tracking", "reports"}
    for path in files("reports"):
        used = {found for found in map(layer, imports(path)) if found}
        assert used <= allowed, f"{path}: {used}"


def test_strategies_know_only_torch_and_the_few_types() -> None:
    for path in files("strategies"):
        used = {name for name in imports(path) if name.startswith("bench")}
        assert all(name.startswith(("bench.methods", "bench.core")) for name in used), f"{path}: {used}"
        assert not imports(path) & {"mlflow", "optuna", "timm", "pandas"}


def test_the_harness_knows_no_particular_strategy() -> None:
    for path in files("bench"):
        named = [name for name in imports(path) if name.startswith("strategies.")]
        assert not named, f"{path} imports {named}"


def test_the_family_of_a_strategy_is_its_folder() -> None:
    from bench.planning import catalogue, compose

    listed = {module.partition(":")[0] for module in strategies.TABLE.values()}
    for name, module in strategies.TABLE.items():
        family = module.split(".")[1]
        assert compose.part(name).family == family and family in catalogue.FAMILIES, name
    there = {
        f"strategies.{family}.{path.stem}"
        for family in catalogue.FAMILIES
        for path in (ROOT / "strategies" / family).glob("*.py")
        if path.stem != "__init__"
    }
    assert there == listed, "a method without a line in the table of strategies/__init__.py, or the reverse"


def test_strategies_are_short() -> None:
    for path in files("strategies"):
        if path != ROOT / "strategies" / "__init__.py":  # the table grows with each
            assert len(path.read_text().splitlines()) <= 80, f"{path} is long for one method"


def test_no_six_lines_stand_twice_in_the_strategies() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for path in files("strategies"):
        without_imports = re.sub(r"^from .* import \([^)]*\)$", "", path.read_text(), flags=re.MULTILINE)
        lines = [line.strip() for line in without_imports.splitlines() if line.strip()]
        for i in range(len(lines) - 5):
            block, here = tuple(lines[i : i + 6]), f"{path.name}: {lines[i]}"
            assert block not in seen, f"{here} stands also in {seen[block]}"
            seen[block] = here


def test_the_page_of_strategies_is_current() -> None:
    from bench.planning import catalogue

    assert (ROOT / "docs" / "strategies.md").read_text() == catalogue.page(), "run `make docs`"


def passes(code: str) -> None:
    """In a process of its own, which has imported nothing yet."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


CATALOGUE = "import sys; from bench.planning import catalogue; catalogue.strategies(); assert 'torch' not in sys.modules"


def test_reading_the_hyperparameters_of_all_strategies_loads_no_torch() -> None:
    passes(CATALOGUE)


def test_what_jobs_return_is_read_without_torch() -> None:
    """Where it was not, the driver stood still for the seconds of that import in the middle of a study."""
    from bench.execution import worker

    jobs = [job for job in vars(worker).values() if "emit" in getattr(job, "__annotations__", {})]
    modules = {get_type_hints(job)["return"].__module__ for job in jobs} - {"builtins"}
    assert len(jobs) > 6 and len(modules) > 1
    read = f"import sys, {', '.join(modules)}; assert 'torch' not in sys.modules"
    passes(read)


PLAN = "import sys; from bench.cli.main import app; app(['plan', 'studies/quickstart.yaml', '--json'], standalone_mode=False); "
PLAN += "heavy = {'torch', 'timm', 'mlflow', 'optuna', 'pandas', 'seaborn', 'scipy', 'sklearn'} & set(sys.modules); assert not heavy, heavy"


def test_planning_imports_nothing_heavy() -> None:
    passes(PLAN)


def test_planning_starts_within_two_seconds() -> None:
    """Of processor time, the best of three: other work on the machine would stretch the clock's."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", PLAN], cwd=ROOT, capture_output=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 2, seconds


def test_the_published_schema_is_current() -> None:
    import json

    from bench.planning.study import Study

    published = json.loads((ROOT / "studies" / "study.schema.json").read_text())
    assert published["properties"] == json.loads(json.dumps(Study.model_json_schema()))["properties"], (
        "run `make schema`"
    )


STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES, ids=lambda p: p.stem)
def test_every_study_is_valid(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data that is not part of the product, stand-ins are made: planning reads names and sizes of files alone."""
    from bench.planning import load, plan

    copy = tmp_path / "studies" / study.name
    copy.parent.mkdir()
    shutil.copy(study, copy)
    loaded = load.load(copy)
    stand_in(loaded, copy.parent)
    installed = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: True if name == "tensorflow_datasets" else installed(name)
    )
    planned = plan.make(loaded, copy, tmp_path)
    assert len(planned.runs) >= len(planned.strategies) * len(loaded.datasets) * len(loaded.all_seeds)
    assert planned.baseline, "no strategy that the others could be ranked against"


def stand_in(study: Study, base: Path) -> None:
    """Empty files for the folders of images and the checkpoints that a study names."""
    for entry in study.datasets:
        if entry.name.startswith("folder:"):
            images = 1 + max(n for n in entry.n_per_class if n != "all")  # so that "all" is more
            for image in [
                f"{split}/{label}/{i}.jpg"
                for split in ("train", "test")
                for label in "ab"
                for i in range(images)
            ]:
                file = base / entry.name.removeprefix("folder:") / image
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    for checkpoint in {b.checkpoint for b in study.backbones if b.checkpoint}:
        (base / checkpoint).parent.mkdir(parents=True, exist_ok=True)
        empty = struct.pack("<Q", 2) + b"{}" if checkpoint.endswith(".safetensors") else b""
        (base / checkpoint).write_bytes(empty)


@pytest.mark.parametrize("study", STUDIES, ids=lambda p: p.stem)
def test_every_study_says_what_it_asks_and_what_it_takes(study: Path) -> None:
    lines = study.read_text().splitlines()
    header = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("name:"))])
    assert lines[0] == "# yaml-language-server: $schema=study.schema.json"
    assert f"bench run studies/{study.name}" in header
    assert {"Question", "Duration"} <= set(re.findall(r"[A-Z]\w+", header))
    for report in re.findall(r"reports/examples/[\w-]+", header):
        assert (ROOT / report / "report.md").is_file(), report
    assert re.search(rf"^\| \[?`{study.stem}`", (ROOT / "docs" / "studies.md").read_text(), re.MULTILINE)
