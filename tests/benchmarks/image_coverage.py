"""What 95 % intervals of a difference cover when test images are drawn anew, too: table 8 of docs/statistics.md.

    python -m tests.benchmarks.image_coverage [TIMES]

2000 simulated pairs of strategies per number by default: about a minute on one core. The model: `tests/simulation/crossed.py`.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from tests.simulation.crossed import Pair, coverage

SETTINGS = {
    "plain: taste .5, luck .1": Pair(),
    "no luck: seeds differ by noise alone": Pair(luck=0.0),
    "no taste: images are as hard for both": Pair(taste=0.0),
    "much luck: seeds differ by .4": Pair(luck=0.4),
    "near the ceiling: 95 and 94 %": Pair((2.5, 2.3)),
    "images decide: difficulty 2, taste 1.5, luck .05": Pair((0.5, 0.3), 2.0, 1.5, 0.05),
}
SIZES = [(3, (100,)), (3, (500,)), (5, (100,)), (5, (500,)), (10, (200,)), (5, (60, 300))]


def main(times: str = "2000") -> None:
    columns = [f"{seeds} × {' + '.join(map(str, images))}" for seeds, images in SIZES]
    print(f"| seeds × test images | {' | '.join(columns)} |\n| :-- |{' --: |' * len(columns)}")
    for name, pair in SETTINGS.items():
        cells = []
        for seeds, images in SIZES:
            found = coverage(replace(pair, seeds=seeds, images=images), int(times))
            held = " / ".join(f"{100 * share:.1f}" for share in found.held)
            cells.append(f"{held} ({found.width[1] / found.width[0]:.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
