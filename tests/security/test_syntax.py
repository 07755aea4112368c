"""What could run code or a shell is found in the syntax of every file, and each place has its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

POWERFUL = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *("importlib.import_module", "importlib.__import__", "runpy", "ctypes", "marshal", "shelve"),
    *(
        "pickle",
        "_pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "pandas.read_pickle",
        "multiprocessing.reduction",
    ),
    *("torch.load", "torch.hub", "torch.jit", "torch.package", "torch.export.load"),
    *("torch.serialization", "numpy.load", "numpy.lib.npyio", "skops", "mlflow.pyfunc"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *("yaml.full_load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.execl", "os.spawnv", "os.spawnl"),
    *("os.posix_spawn", "pty", "subprocess", "asyncio.create_subprocess_shell", "webbrowser", "tarfile"),
    *("zipfile", "shutil.unpack_archive", "jinja2.Template", "ray.cloudpickle", "submitit"),
}
"""Names, or the beginnings of names, that load objects, run code or start processes."""

ALLOWED = {
    (
        "bench/core/lazy_torch.py",
        "importlib.import_module",
    ): "torch, at its first use: the name is a constant",
    ("strategies/__init__.py", "importlib.import_module"): "modules of its own table",
    ("strategies/shared/extras.py", "importlib.import_module"): "optional packages that strategies name",
    ("bench/core/jobs.py", "importlib.import_module"): "functions that the driver's own jobs name",
    ("bench/core/compat/parts.py", "importlib.import_module"): "modules of libraries, named in our own lists",
    (
        "bench/models/checkpoints/file_kinds.py",
        "zipfile",
    ): "names of an archive's entries; nothing is unpacked",
    ("bench/models/checkpoints/reading.py", "pickle"): "UnpicklingError, the exception",
    ("bench/models/checkpoints/reading.py", "torch.load"): "with weights_only=True",
    ("bench/models/checkpoints/reading.py", "torch.serialization"): "argparse.Namespace, which is plain data",
    (
        "bench/models/checkpoints/unpickled.py",
        "pickle",
    ): "an Unpickler that imports nothing: all names become classes that do nothing",
    (
        "bench/models/checkpoints/unpickled.py",
        "zipfile",
    ): "reads the pickle of an archive; nothing is unpacked",
    ("bench/models/checkpoints/salvage.py", "zipfile"): "reads the bytes of tensors; nothing is unpacked",
    ("bench/tuning/plain_pickle.py", "pickle"): "an Unpickler that finds numbers and arrays alone",
    ("bench/training/cached_features/store.py", "numpy.load"): "without allow_pickle",
    ("bench/data/prepare.py", "numpy.load"): "without allow_pickle",
    ("bench/core/records/predictions.py", "numpy.load"): "without allow_pickle",
    ("bench/core/records/predictions.py", "zipfile"): "reads sizes; nothing is unpacked to a folder",
    ("bench/planning/yaml_document.py", "yaml.load"): "with a SafeLoader",
    ("bench/tracking/provenance.py", "subprocess"): "git describe, no shell",
    ("bench/training/cost.py", "ctypes"): "malloc_trim of the system's own libc",
    ("bench/cli/commands/ui.py", "os.execve"): "`bench ui` becomes MLflow's server",
}
"""(file, name) -> why it is harmless there."""

FOLDERS = ("bench", "strategies", "reports")


def sources() -> list[Path]:
    return [
        p
        for folder in FOLDERS
        for p in sorted((ROOT / folder).rglob("*.py"))
        if p.relative_to(ROOT).parts[:2] not in (("reports", "out"), ("reports", "examples"))
    ]


def full_names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every name that is used in a file, spelt out from its imports: `np.load` as numpy.load."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}", node
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (dotted := _dotted(node)):
            first, dot, rest = dotted.partition(".")
            yield known.get(first, first) + dot + rest, node


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def powerful(source: str) -> set[str]:
    """Those of `POWERFUL` that a file uses."""
    used = {name for name, _ in full_names(ast.parse(source))}
    beginnings = {".".join(parts[:n]) for name in used for parts in [name.split(".")] for n in (1, 2, 3, 4)}
    return beginnings & POWERFUL


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle as p\np.loads(b'')", {"pickle"}),
        ("from pickle import loads", {"pickle"}),
        ("from torch import load as get\nget('x')", {"torch.load"}),
        ("import numpy as np\nf = np.load", {"numpy.load"}),
        ("import os\nos.system('x')", {"os.system"}),
        ("eval('1')", {"eval"}),
        ("import subprocess as s\ns.run('x', shell=True)", {"subprocess"}),
        ("model.eval()\nre.compile('x')\nimport re", set()),
    ],
)
def test_the_search_finds_what_it_is_to_find(source: str, expected: set[str]) -> None:
    assert powerful(source) == expected


def test_every_place_that_could_run_code_has_its_reason() -> None:
    found = {(str(p.relative_to(ROOT)), name) for p in sources() for name in powerful(p.read_text())}
    assert found - set(ALLOWED) == set(), (
        "new: give the reason why it cannot be made to run a stranger's code"
    )
    assert set(ALLOWED) - found == set(), "no longer there"


def calls(name: str) -> list[tuple[str, ast.Call]]:
    """(file, call) of every call of a function by its full name."""
    return [(file, call) for file, called, call in all_calls() if called == name]


@cache
def all_calls() -> list[tuple[str, str, ast.Call]]:
    """(file, full name of the function or "", call) of every call."""
    found = []
    for path in sources():
        tree = ast.parse(path.read_text())
        names = {id(node): full for full, node in full_names(tree)}
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found += [(str(path.relative_to(ROOT)), names.get(id(node.func), ""), node) for node in nodes]
    return found


def keywords(call: ast.Call) -> dict[str | None, str]:
    """Keyword arguments as they are written, where they are a name or a constant."""
    return {
        k.arg: ast.unparse(k.value) if isinstance(k.value, ast.Name | ast.Constant) else ""
        for k in call.keywords
    }


def test_what_is_read_holds_data_alone() -> None:
    assert calls("torch.load") and calls("numpy.load") and calls("yaml.load")
    for _, call in calls("torch.load"):
        assert keywords(call).get("weights_only") == "True"
    for _, call in calls("numpy.load"):
        assert "allow_pickle" not in keywords(call) and None not in keywords(call)
    for file, call in calls("yaml.load"):
        assert file == "bench/planning/yaml_document.py" and keywords(call)["Loader"] == "_Loader"

    import yaml

    from bench.planning.yaml_document import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)


def test_no_process_is_started_through_a_shell() -> None:
    for file, _, call in all_calls():
        assert keywords(call).get("shell") in (None, "False"), file


def test_only_the_state_of_a_sampler_is_unpickled() -> None:
    from bench.tuning import plain_pickle

    assert all(module.partition(".")[0] in ("cmaes", "numpy") for module, _ in plain_pickle.ALLOWED)
    users = [p for p in sources() if "plain_pickle.loads(" in p.read_text()]
    assert [p.name for p in users] == ["samplers.py"]
