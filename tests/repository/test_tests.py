"""The tests themselves: where they lie, what they share, and what the fast ones are."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT
from tests.repository.imports import imports
from tests.support import schedule

TESTS = ROOT / "tests"
NOT_OF_A_PACKAGE = {
    "benchmarks",  # measurements that are no tests
    "browser",  # MLflow's pages, seen
    "corpus",  # bad inputs, through all packages
    "repository",  # the sources, the documents, the build
    "security",
    "simulation",  # studies of known truth, and their verdicts
    "support",  # what tests share
}


def modules() -> list[Path]:
    return sorted(TESTS.rglob("*.py"))


def named(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_no_module_of_tests_imports_another() -> None:
    """What two of them need is in a module that holds no tests."""
    tests = {named(path) for path in modules() if path.name.startswith("test_")}
    for path in modules():
        assert not imports(path) & tests, f"{named(path)} imports {imports(path) & tests}"


def test_folders_are_those_of_the_packages() -> None:
    """tests/X/Y/ holds tests of bench/X/Y/, or of a module Y of that package, or is in the list above."""
    folders = [p for p in TESTS.rglob("*") if p.is_dir() and any(p.glob("*.py"))]
    assert len(folders) > 20
    for folder in folders:
        inside = folder.relative_to(TESTS)
        if inside.parts[0] not in NOT_OF_A_PACKAGE:
            assert (folder / "__init__.py").is_file(), f"{folder}: modules of one name would be one module"
            places = [ROOT / "bench" / inside, ROOT / inside]
            found = any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)
            assert found, f"tests/{inside} is of no package"


def test_nothing_outside_the_repository_is_read_but_through_the_fixture() -> None:
    """`real_data` skips, and says so, where the data is absent. Benchmarks are started by hand, with what they need."""
    for path in modules():
        if "benchmarks" not in path.parts and path.name != "conftest.py" and path != Path(__file__):
            assert "BENCH_TEST_DATA" not in path.read_text() and "REAL_DATA" not in path.read_text(), path


def test_every_package_has_fast_tests() -> None:
    """`make test-fast`: whole files, which lie in the folder of each package."""
    files = [line for line in (TESTS / "fast.txt").read_text().split() if line]
    assert files == sorted(set(files)) and all((ROOT / name).is_file() for name in files)
    covered = {Path(name).parts[1] for name in files}
    packages = {p.name for p in (ROOT / "bench").iterdir() if (p / "__init__.py").is_file()}
    tested = {p.name for p in TESTS.iterdir() if any(p.rglob("test_*.py"))}
    assert packages & tested | {"strategies", "reports"} <= covered


def test_what_starts_processes_is_one_scope_and_other_files_are_one_each() -> None:
    files = schedule.CHAIN + schedule.EARLY
    assert len(set(files)) == len(files) and all((ROOT / name).is_file() for name in files)
    scheduler = schedule.ChainFirst.__new__(schedule.ChainFirst)  # without pytest-xdist's processes
    assert len({scheduler._split_scope(f"{name}::test") for name in schedule.CHAIN}) == 1
    assert [scheduler._split_scope(f"{name}::test") for name in schedule.EARLY] == list(schedule.EARLY)
