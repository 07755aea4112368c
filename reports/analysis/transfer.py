"""What fine-tuning everything has over a linear probe, by the number of images and the distance to the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.records.study import StudyRecord
from bench.core.schema import Measure
from reports.analysis import slope
from reports.analysis.rows import Row, accuracy_of, condition_of
from reports.analysis.slope import Line

DISTANCE = (Measure.BATCH_NORM, Measure.FRECHET_STEM)
"""How far a dataset lies from the source: the first that a network has."""


@dataclass(frozen=True)
class Transfer:
    """Full fine-tuning minus linear probe on one dataset, at one size, on one network: `gain` is a fraction.

    distance: measured on the network, by `DISTANCE`; None where it was not. similar, small: as the study has them.
    """

    dataset: str
    n_per_class: int
    backbone: str
    similar: bool
    small: bool
    distance: float | None
    gain: float


def transfers(
    document: StudyRecord, rows: Iterable[Row], full: str | None, probe: str | None
) -> list[Transfer]:
    """Of each dataset, size and network that has both strategies; means over seeds."""
    groups: dict[tuple[str, int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cells = {}
    for row in rows:
        groups[condition_of(row)][row["strategy"]].append(accuracy_of(row))
        cells[condition_of(row)] = row["cell"]
    found = []
    for condition, by in groups.items():
        if full in by and probe in by:
            similarity, _, size = cells[condition].partition("-")
            gain = fmean(by[full]) - fmean(by[probe])
            distance = _distance(document, *condition)
            found.append(Transfer(*condition, similarity == "similar", size == "small", distance, gain))
    return found


def _distance(document: StudyRecord, dataset: str, n: int, backbone: str) -> float | None:
    entries = (m for entry in document.datasets if entry.label == dataset for m in entry.measures)
    own = next((m.values for m in entries if (m.backbone, m.n_per_class) == (backbone, n)), {})
    return next((own[name] for name in DISTANCE if name in own), None)


def by_group(found: Iterable[Transfer]) -> dict[tuple[str, bool], list[Transfer]]:
    """By network and whether images are few; few come first."""
    groups: dict[tuple[str, bool], list[Transfer]] = defaultdict(list)
    for one in found:
        groups[one.backbone, one.small].append(one)
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], not item[0][1])))


def line_of(own: Sequence[Transfer]) -> Line | None:
    """Gain by distance; None with too few datasets."""
    known = [(one.distance, one.gain) for one in own if one.distance is not None]
    return slope.fit([x for x, _ in known], [y for _, y in known])
