"""The command `bench`, and `python -m bench`."""

import importlib.util
import sys
from pathlib import Path

OWN = ("strategies", "reports")
"""Packages that are installed beside `bench`, under names that other projects use for folders of their own."""


def main() -> None:
    """The command line. Exit code 2 where another project's `strategies` or `reports` would be imported."""
    for name in OWN:
        found, wanted = _found(name), Path(__file__).parents[1] / name
        if found is None or not found.samefile(wanted):
            sys.exit(_refused(name, found, wanted))
    from bench.cli.main import main as command_line

    command_line()


def _found(name: str) -> Path | None:
    """The folder of the package that `import name` would take; None where there is no such package."""
    spec = importlib.util.find_spec(name)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) if folders else None


def _refused(name: str, found: Path | None, wanted: Path) -> int:
    where = f"is the one in {found}" if found else "is not found"
    advice = "rename yours, or run bench from another folder" if found else "install finetune-bench again"
    print(f"error: the package {name!r} {where}, not bench's own in {wanted}; {advice}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    # `python -m` looks in the working directory first, where `bench run` itself makes a folder `reports`
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
