"""How planning, resuming, listing and reporting grow with the store: 100, 1,000 and 10,000 runs.

    python -m tests.benchmarks.growth [--store sqlite|postgres|server] [--runs 100,1000,10000] [--json FILE]

Every run has 50 parameters and 30 metrics (`tests.benchmarks.growth_store`). Each line is measured in a fresh process,
its start included, the fastest of --repeat: wall seconds, processor seconds, and the largest resident memory. `server`
is MLflow's own over a SQLite file, on loopback; its own time is in the wall seconds only. Prints a markdown table, with
the factor from one size to the next by --clock: processor seconds are the ones to trust while others use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.growth_study import SHAPES, STUDY, study_file
from tests.support.servers import mlflow_server, postgres

BENCH = Path(sys.executable).parent / "bench"
ROOT = Path(__file__).resolve().parents[2]
FILL = [sys.executable, "-m", "tests.benchmarks.growth_store"]
PROBE = [sys.executable, "-m", "tests.benchmarks.growth_probes"]
GOALS = {"plan": 5, "resume, some missing": 5, "resume, nothing missing": 5, "report data": 30}
MEMORY = 2048


@dataclass(frozen=True)
class Measured:
    """Seconds of wall and processor time; memory: the process' largest resident set, MiB."""

    what: str
    runs: int
    wall: float
    cpu: float
    memory: float


def commands(study: Path, uri: str, runs: int) -> dict[str, list[str | Path]]:
    """By what is measured. The store is left with the study as it was."""
    more = SHAPES[runs].seeds + 1
    at, probed = ["--store", uri], [str(study), uri]
    return {
        "plan": [BENCH, "plan", study, *at],
        "resume, some missing": [*PROBE, "resume", *probed, f"seeds={more}"],
        "resume, nothing missing": [*PROBE, "resume", *probed],
        "runs --json": [BENCH, "runs", STUDY, "--json", *at],
        "report data": [*PROBE, "data", *probed],
        "report with figures": [BENCH, "report", STUDY, *at],
    }


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_CACHE": str(folder / "cache")}


def measure(what: str, runs: int, command: list[str | Path], folder: Path) -> Measured:
    """Raises `SystemExit` where the command fails."""
    with (folder / "out.log").open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{what}: {(folder / 'out.log').read_text()[-3000:]}")
    return Measured(what, runs, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def all_of(uri: str, runs: int, folder: Path, repeat: int, clock: str) -> Iterator[Measured]:
    study = study_file(folder, runs)
    for what, command in commands(study, uri, runs).items():
        yield min(
            (measure(what, runs, command, folder) for _ in range(repeat)), key=lambda m: getattr(m, clock)
        )


def scheduling(uri: str, runs: int, folder: Path) -> None:
    """Print what a run costs the driver, without and with a local pool, whatever the store."""
    for way in ("driver", "pool"):
        probe = [*PROBE, "schedule", str(study_file(folder, runs)), uri, way]
        done = subprocess.run(
            probe, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True, check=True
        )
        wall, cpu = done.stdout.split()[-2:]
        print(f"{runs} runs, scheduling, {way}: {wall} ms per run (processor {cpu} ms)", file=sys.stderr)


@contextmanager
def store(kind: str, folder: Path, runs: int) -> Iterator[str]:
    """URI of a store of that kind with so many runs."""

    def fill(uri: str) -> str:
        subprocess.run([*FILL, folder, str(runs), "--store", uri], cwd=ROOT, check=True, stdout=sys.stderr)
        return uri

    sqlite = f"sqlite:///{folder / 'mlflow.db'}"
    if kind == "postgres":
        with postgres("growth") as server:
            yield fill(f"{server}/growth")
    elif kind == "server":
        with mlflow_server(fill(sqlite), folder) as url:
            yield url
    else:
        yield fill(sqlite)


def table(found: list[Measured], clock: str) -> str:
    """Markdown: a line for each measure, columns by size."""
    sizes = sorted({m.runs for m in found})
    header = ["wall (processor)", *(f"{n:,} runs" for n in sizes), "factors", "memory at most", "goal"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for what in dict.fromkeys(m.what for m in found):
        own = sorted((m for m in found if m.what == what), key=lambda m: m.runs)
        factors = [f"{getattr(b, clock) / getattr(a, clock):.1f}" for a, b in pairwise(own)]
        goal = f"{GOALS[what]} s" if what in GOALS else ""
        cells = [what, *(f"{m.wall:.2f} s ({m.cpu:.2f} s)" for m in own), ", ".join(factors)]
        lines.append("| " + " | ".join([*cells, f"{max(m.memory for m in own):.0f} MiB", goal]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", choices=["sqlite", "postgres", "server"], default="sqlite")
    parser.add_argument("--runs", default="100,1000,10000")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: list[Measured] = []
    for runs in map(int, args.runs.split(",")):
        with tempfile.TemporaryDirectory() as name, store(args.store, Path(name), runs) as uri:
            for one in all_of(uri, runs, Path(name), args.repeat, args.clock):
                print(one, file=sys.stderr)
                found.append(one)
            if args.store == "sqlite":
                scheduling(uri, runs, Path(name))
    print(table(found, args.clock))
    if args.json:
        args.json.write_text(json.dumps([asdict(m) for m in found], indent=1))


if __name__ == "__main__":
    main()
