"""python -m tests.benchmarks.speed [--only NAME ...] [--quick] [--out FILE] | --report | --list

Measures lines, prints a table, and merges what it found into the JSON file; --report writes the page and
the figure. Words that processes read when they start (threads, telemetry) are set here, before torch is
imported.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

QUIET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
RESULTS = Path("docs/performance.json")


def main() -> int:
    arguments = _arguments()
    os.environ.update({k: v for k, v in QUIET.items() if k not in os.environ})
    from tests.benchmarks.speed import report
    from tests.benchmarks.speed.images import one_core
    from tests.benchmarks.speed.lines import LINES, Settings

    if arguments.report:
        report.write(arguments.out)
        return 0
    known = [line.name for line in LINES]
    if arguments.list or (unknown := [name for name in arguments.only if name not in known]):
        print(f"lines: {', '.join(known)}" if arguments.list else f"unknown: {unknown}; known: {known}")
        return 0 if arguments.list else 2
    one_core()
    failed = 0
    for line in LINES:
        if line.name in (arguments.only or known):
            failed += not _measure(line, Settings(arguments.quick), arguments.out)
    return min(failed, 1)


def _measure(line, settings, out: Path) -> bool:  # type: ignore[no-untyped-def]
    """Prints and keeps a line's figures. False where it failed; what was known of it then stays."""
    import torch

    from tests.benchmarks.speed import report

    print(f"{line.name}: {line.summary}", flush=True)
    start = time.perf_counter()
    try:
        if line.gpu and not torch.cuda.is_available():
            figures = []
            print("  not measured: no CUDA device")
        else:
            figures = line.measure(settings)
    except Exception:
        traceback.print_exc()
        return False
    for figure in figures:
        print("  " + report.row(figure.record()), flush=True)
    seconds = time.perf_counter() - start
    print(f"  ({seconds:.0f} s)", flush=True)
    if not settings.quick:
        report.merge(out, line.name, [figure.record() for figure in figures], seconds)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these lines; default: all")
    parser.add_argument("--quick", action="store_true", help="see that all works; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file (default: %(default)s)")
    parser.add_argument(
        "--report", action="store_true", help="write the page and the figure from the JSON file"
    )
    parser.add_argument("--list", action="store_true", help="names of the lines")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
