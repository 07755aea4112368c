"""How often verdicts are wrong, how often they come, and what intervals cover, in simulated studies of known truth.

    python tests/benchmarks/verdict_error_rates.py [STUDIES [TABLE ...]] > table.md

1000 studies of four cells per setting by default: about an hour on one core. The tables are in
docs/statistics.md. A cell of the first table reads "wrongly contradicted" in studies in which no alternative is better
than the rule's pick, "wrongly supported" in those where one is better by just the margin (1 point).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtr

from bench.core.records.looks import LookRecord
from bench.planning.seeds import UntilDecided
from reports.analysis import bootstrap
from reports.analysis.looks import look_at_study
from reports.analysis.stats import ALPHA, mean_of
from tests.simulation.studies import Simulated, rates, studies_of

SEEDS, DATASETS = (3, 5, 10), (1, 2, 3)
NULL, EDGE = (0.0,) * 5, (1.0, -8.0, -8.0, -8.0, -8.0)
SHARED = {"conditions": 4, "own": 1.5, "run": 0.5}
VARIANTS: dict[str, dict] = {
    "plain: a paired difference has an sd of 2 points": {},
    "strategies' tastes differ by dataset (sd 2)": {"taste": 2.0},
    "one dataset five times as noisy": {"uneven": 5.0},
    "one alternative five times as noisy": {"noisy": 5.0},
    "200 test images, little noise": {"test_images": 200, "own": 0.3, "run": 0.3},
    "two sizes x two backbones share the seed": SHARED,
    "heavy tails (t, 3 degrees of freedom)": {"shape": "t3"},
    "skewed (exponential)": {"shape": "skewed"},
    "a tenth of the runs of the rule's pick collapses by 10 points": {"shape": "collapse"},
}
POWER = {
    "contradicted: one is better by 2": (2.0, 0.0, -2.0, -2.0, -2.0),
    "contradicted: one is better by 4": (4.0, 0.0, -2.0, -2.0, -2.0),
    "contradicted: one is better by 8": (8.0, 0.0, -2.0, -2.0, -2.0),
    "supported: all equal": (0.0,) * 5,
    "supported: all worse by 1": (-1.0,) * 5,
    "supported: all worse by 4": (-4.0,) * 5,
}


def main(studies: str = "1000", *names: str) -> None:
    tables = {
        "errors": errors,
        "correction": correction,
        "power": power,
        "coverage": coverage,
        "methods": methods,
        "looking": looking,
        "racing": racing,
        "extending": extending,
    }
    for name in names or tables:
        tables[name](int(studies))


def errors(studies: int) -> None:
    print(f"\n### Wrong verdicts, % of {4 * studies} cells ({studies} studies each)\n")
    header("noise", [f"{s} seeds x {d}" for d in DATASETS for s in SEEDS])
    for verdict, effects in (("contradicted", NULL), ("supported", EDGE)):
        for name, changes in VARIANTS.items():
            cells = []
            for datasets in DATASETS:
                for seeds in SEEDS:
                    if datasets == 1 and ("taste" in changes or "uneven" in changes):
                        cells.append("")
                        continue
                    study = Simulated(effects, seeds=seeds, datasets=datasets, **changes)
                    found = rates(study, studies, seed=len(cells))
                    cells.append(percent(getattr(found, verdict), found.cells))
            line(f"wrongly {verdict}; {name}", cells)


def correction(studies: int) -> None:
    print("\n### Wrongly contradicted by the number of alternatives and the unit that is counted, %\n")
    header("one dataset, no alternative better", [f"{seeds} seeds" for seeds in SEEDS])
    for count in (1, 5, 14):
        study = Simulated((0.0,) * count)
        line(f"{count} alternatives", [null(replace(study, seeds=s), studies) for s in SEEDS])
    shared = Simulated(NULL, **SHARED)
    line(
        "two sizes x two backbones, averaged first", [null(replace(shared, seeds=s), studies) for s in SEEDS]
    )
    line(
        "the same, each counted as a seed of its own (as before)",
        [null(replace(shared, seeds=s), studies, as_blocks=True) for s in SEEDS],
    )


def null(study: Simulated, studies: int, **how: bool) -> str:
    found = rates(study, studies, seed=7, **how)
    return percent(found.contradicted, found.cells)


def power(studies: int) -> None:
    studies //= 2
    print(
        f"\n### How often a right verdict comes, % of {4 * studies} cells; one dataset, five alternatives\n"
    )
    sds = (1.0, 2.0, 4.0)
    seeds = (3, 5, 10, 20)
    header("verdict", [f"{s} seeds, sd {sd:g}" for sd in sds for s in seeds])
    for name, effects in POWER.items():
        cells = []
        for sd in sds:
            for s in seeds:
                study = Simulated(effects, seeds=s, own=sd / 2, run=sd / 2, test_images=2000)
                found = rates(study, studies, seed=3)
                cells.append(percent(getattr(found, name.split(":")[0]), found.cells, 0))
        line(name, cells)


def coverage(studies: int) -> None:
    print(f"\n### What 95 % intervals of one comparison cover, % of {studies}\n")
    draw = np.random.default_rng(0)
    header("one dataset", ["Student t", "bootstrap, BCa"])
    for seeds in (3, 5, 10, 20, 50):
        values = draw.standard_normal((studies, seeds)).tolist()
        line(
            f"{seeds} seeds",
            [cover(map(t, values), [0] * studies), cover(map(bootstrap.over_seeds, values), [0] * studies)],
        )
    print()
    what = ["t over units, these", "hierarchical bootstrap, these"]
    header(
        "several datasets",
        [*what, "t over units, others", "hierarchical bootstrap, others", "t over datasets, others"],
    )
    for sets in (2, 3, 5, 10):
        for taste in (0, 1, 3):
            shift = taste * draw.standard_normal((studies, sets))
            values = shift[:, :, None] + draw.standard_normal((studies, sets, 5))
            units = [t(v.ravel().tolist()) for v in values]
            boots = [
                bootstrap.over_datasets({(str(k), s): x for (k, s), x in np.ndenumerate(v)}) for v in values
            ]
            these, others = shift.mean(axis=1).tolist(), [0.0] * studies
            over = [t(v.mean(axis=1).tolist()) for v in values]
            found = [(units, these), (boots, these), (units, others), (boots, others), (over, others)]
            line(f"{sets} datasets x 5 seeds, tastes {taste} sd", [cover(*one) for one in found])


def methods(studies: int) -> None:
    """Apart from the reports' code, whose choice it explains: other t tests for several datasets, Bonferroni."""
    studies *= 20
    print(
        f"\n### Other tests over several datasets: wrongly contradicted, % of {studies}; five alternatives\n"
    )
    header(
        "datasets x seeds, noise of the first",
        ["over seeds (used)", "over units", "pooled", "Welch, Satterthwaite", "fewest df"],
    )
    draw = np.random.default_rng(0)
    for sets in (2, 3):
        for seeds in (3, 5, 10):
            for uneven in (1, 3, 10):
                noise = draw.standard_normal((studies, 6, sets, seeds))
                noise[:, :, 0] *= uneven
                x = noise[:, 1:] - noise[:, :1]
                mean, v = x.mean(axis=(2, 3)), x.var(axis=3, ddof=1) / seeds
                total = v.sum(axis=2)
                within = mean * sets / np.sqrt(total)
                units = mean / x.reshape(*mean.shape, -1).std(axis=2, ddof=1) * np.sqrt(sets * seeds)
                welch = total**2 / (v**2 / (seeds - 1)).sum(axis=2)
                means = x.mean(axis=2)
                over_seeds = mean / means.std(axis=2, ddof=1) * np.sqrt(seeds)
                tests = [
                    (over_seeds, seeds - 1), (units, sets * seeds - 1), (within, sets * (seeds - 1)), (within, welch), (within, seeds - 1)
                ]  # fmt: skip
                wrong = [int((stdtr(df, -value) <= ALPHA / 5).any(axis=1).sum()) for value, df in tests]
                line(f"{sets} x {seeds}, {uneven} x", [percent(count, studies) for count in wrong])


def looking(studies: int) -> None:
    """As people use it: on to the next look, until it is decided or has 40 seeds."""
    studies //= 4
    looks = tuple(UntilDecided(until="decided", at_most=40).looks)
    print(
        f"\n### Looking after {', '.join(map(str, looks))} seeds: wrong verdicts, % of {4 * studies} cells\n"
    )
    kinds = ("contradicted", "supported")
    header("noise", [f"wrongly {kind}, {d} datasets" for kind in kinds for d in DATASETS])
    for name, changes in VARIANTS.items():
        cells = []
        for kind, effects in zip(kinds, (NULL, EDGE), strict=True):
            for datasets in DATASETS:
                if datasets == 1 and ("taste" in changes or "uneven" in changes):
                    cells.append("")
                    continue
                study = Simulated(effects, seeds=40, looks=looks, datasets=datasets, **changes)
                found = rates(study, studies, seed=11)
                cells.append(percent(getattr(found, kind), found.cells))
        line(name, cells)


def racing(studies: int) -> None:
    """Seeds until decided, at most 20, against one look at 5 and at 20 seeds: what it gives, and what it takes."""
    studies //= 2
    looks = tuple(UntilDecided(until="decided", at_most=20).looks)
    print(
        f"\n### Until decided, against one look: % of {4 * studies} cells; one dataset, five alternatives, sd 2\n"
    )
    ways = {
        "until decided": {"seeds": 20, "looks": looks},
        "20 seeds": {"seeds": 20},
        "5 seeds": {"seeds": 5},
    }
    header(
        "truth", [f"{way}: {what}" for way in ways for what in ("contradicted", "supported", "seeds", "runs")]
    )
    truths = {
        "all equal": NULL,
        "one better by the margin, the others 3 worse": (1.0, -3.0, -3.0, -3.0, -3.0),
        **{name.partition(": ")[2]: effects for name, effects in POWER.items() if effects != NULL},
    }
    for name, effects in truths.items():
        cells = []
        for how in ways.values():
            found = rates(Simulated(effects, **how), studies, seed=5)
            cells += [percent(getattr(found, kind), found.cells) for kind in ("contradicted", "supported")]
            cells += [f"{found.seeds:.1f}", f"{found.runs:.0f}"]
        line(name, cells)


def extending(studies: int) -> None:
    """A study of a fixed number of seeds that is extended after its verdict: what its report says of its error rate."""
    studies //= 2
    print(
        f"\n### A fixed study, looked at, extended and looked at again: wrong verdicts, % of {4 * studies} cells\n"
    )
    header("seeds", ["wrongly contradicted", "wrongly supported", "stated, at most"])
    for looks in ((3, 13), (5, 20), (3, 5, 8, 13)):
        wrong = []
        for kind, effects in (("contradicted", NULL), ("supported", EDGE)):
            said = [kind in cell for cell in extended(Simulated(effects, seeds=looks[-1]), looks, studies)]
            wrong.append(percent(sum(said), len(said)))
        line(", then ".join(map(str, looks)), [*wrong, percent(round(1000 * ALPHA * len(looks)), 1000)])


def extended(study: Simulated, looks: Sequence[int], studies: int) -> Iterator[set[str]]:
    """Of each cell, all that was said of it."""
    for document, rows in studies_of(study, studies, seed=9):
        ledger: list[LookRecord] = []
        for n in looks:
            now = replace(document, seeds=tuple(range(n)))
            found = look_at_study(now, [row for row in rows if row["seed"] < n], ledger)
            ledger += [record for one in found for record in one.fresh]
        for cell in {record.cell for record in ledger}:
            yield {record.verdict for record in ledger if record.cell == cell}


def t(values: Sequence[float]) -> tuple[float, float]:
    mean = mean_of(values)
    return mean.low, mean.high


def cover(intervals, truths) -> str:
    hits = [low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)]
    return percent(sum(hits), len(hits))


def percent(events: int, cells: int, digits: int = 1) -> str:
    return f"{100 * events / cells:.{digits}f}"


def header(first: str, columns: Sequence[str]) -> None:
    print(f"| {first} | {' | '.join(columns)} |\n| :-- |{' --: |' * len(columns)}")


def line(name: str, cells: Sequence[str]) -> None:
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
