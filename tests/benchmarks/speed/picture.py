"""The figure of the page: every ratio with its range, its goal as a tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter

MET, MISSED, PLAIN = "#2a7f62", "#b5482a", "#4c72b0"


def draw(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Ratios where more is better, on a logarithmic axis from slower to faster than the other side."""
    shown = [r for r in records if r["value"] is not None and not r["ceiling"] and r["unit"] == "x"]
    sns.set_theme(style="whitegrid", context="paper")
    figure, axes = plt.subplots(figsize=(7.5, 0.5 + 0.2 * len(shown)))
    for y, record in enumerate(shown):
        low, high = record["low"] or record["value"], record["high"] or record["value"]
        colour = _colour(record)
        axes.plot([low, high], [y, y], color=colour, linewidth=1.5, alpha=0.6)
        axes.plot(record["value"], y, "o", color=colour, markersize=4)
        if record["goal"] is not None:
            axes.plot(record["goal"], y, "|", color="black", markersize=9)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(
        xscale="log", xlabel="times as fast (processor time); black tick: goal", ylim=(len(shown) - 0.5, -0.5)
    )
    axes.xaxis.set_major_locator(FixedLocator([0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), [record["name"] for record in shown])
    sns.despine(figure, left=True, bottom=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def _colour(record: Mapping[str, Any]) -> str:
    if record["goal"] is None:
        return PLAIN
    return MET if round(record["value"], 2) >= record["goal"] else MISSED
