"""How what fine-tuning gains over a probe depends on the number of images, and on the measured distance to the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from math import isnan
from statistics import fmean, median

from reports.analysis.slope import Line
from reports.analysis.stats import Mean, mean_of
from reports.analysis.transfer import Transfer, by_group, line_of
from reports.answer.overview import Overview
from reports.figures.similarity import similarity as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, plural, points
from reports.render.words import selection


def section(overview: Overview) -> list[Block]:
    """Where some dataset has results of both."""
    found = overview.transfers
    if not found:
        return []
    groups = by_group(found)
    lines = {key: line_of(own) for key, own in groups.items()}
    return [
        Heading("Fine-tuning or a probe: number of images, and similarity"),
        Paragraph(_size(overview)),
        *([Figure("similarity", "Fine-tuning minus probe, by distance to the source", partial(figure, groups, lines))]
          if any(lines.values()) else []),
        Table(["network", "images per class", "datasets", "full minus probe", "per unit of distance", "zero at"],
              [_line(key, own, lines[key]) for key, own in groups.items()], right_from=2),
        Caption(f"""
            {code(overview.baseline)} minus the linear probe, in points of test accuracy; each dataset is one point. 95 %
            Student-t intervals over datasets. Distance: of the features' BatchNorm statistics on the dataset from those
            on the source, where the network has BatchNorm, else the Fréchet distance at the stem
            (docs/similarity.md): 0 is a dataset like the source. Per unit: the slope of a straight line, which is what
            similarity is worth for this choice; "zero at": the distance at which neither is better.
            {selection(overview.document)}
        """),
    ]  # fmt: skip


def _line(key: tuple[str, bool], own: Sequence[Transfer], line: Line | None) -> list[str]:
    mean = mean_of([one.gain for one in own])
    sizes = sorted({one.n_per_class for one in own})
    return [
        code(key[0]),
        str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}",
        str(len(own)),
        _mean(mean),
        NONE if line is None else f"{points(line.slope, sign=True)} {interval(line.low, line.high, sign=True)}",
        f"{line.crosses:.2f}" if line is not None and line.shown else NONE,
    ]  # fmt: skip


def _mean(mean: Mean) -> str:
    bounds = "" if isnan(mean.low) else f" {interval(mean.low, mean.high, sign=True)}"
    return f"{points(mean.mean, sign=True)}{bounds}"


def _size(overview: Overview) -> str:
    """What more images change, paired within datasets."""
    gains: dict[str, dict[bool, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[bool, list[int]] = defaultdict(list)
    for one in overview.transfers:
        gains[one.dataset][one.small].append(one.gain)
        sizes[one.small].append(one.n_per_class)
    both = [fmean(by[False]) - fmean(by[True]) for by in gains.values() if len(by) == 2]
    if len(both) < 2:
        return ""
    mean = mean_of(both)
    verdict = (
        "which is shown"
        if mean.low > 0
        else "the opposite of what the textbook says, and shown"
        if mean.high < 0
        else "which is not shown: the interval holds zero"
    )
    return (
        f"From {median(sizes[True]):g} to {median(sizes[False]):g} images per class, what fine-tuning everything has over a "
        f"linear probe changes by {_mean(mean)} points ({plural(len(both), 'dataset')}, paired), {verdict}."
    )
