"""What a store knows, as a list of conditions to advise from. Pure functions on study documents and rows.

A *condition* is (study, dataset, n_per_class, backbone), with the accuracies of every strategy by seed and the *place*
where it lies: size, classes, measures of similarity. Places can be compared between studies, labels of datasets and
backbones cannot; so both have an identity here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from bench.core.records.study import DatasetRecord, StudyRecord
from bench.core.schema import Measure, Metric, Status
from bench.core.spec import BackboneSpec
from reports.analysis.document import plainest
from reports.analysis.log_odds import log_odds
from reports.analysis.rows import Row, accuracy_of, condition_of, seconds_spent
from reports.analysis.searches import Search
from reports.analysis.settings import Used, used_in
from reports.analysis.units import smallest_gap

TUNED = "tuned"
LEAST_STRATEGIES = 2
"""With fewer there is nothing to choose from."""


@dataclass(frozen=True)
class Place:
    """Where a dataset lies at n images per class, seen by a backbone. None, or a missing measure: not known.

    similar: declared or measured. curve: the same measures at other numbers of images, where they were taken.
    images: labelled images that the measures were taken of.
    """

    backbone: str
    n_per_class: float
    classes: int | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    similar: bool | None = None
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    images: int | None = None

    @property
    def probe_odds(self) -> float:
        """Log odds of the linear probe's accuracy, which must be known."""
        return log_odds(self.measures[Measure.PROBE], self.images)


@dataclass(frozen=True)
class Condition:
    """Results at one place. Accuracies are fractions by strategy and seed; seconds of training and preparation.

    rule, full, probe: labels of the rule's pick in this cell, of the baseline (full fine-tuning), and of the linear
    probe; None where the study has none. test_images: how many an accuracy is of, as far as the accuracies tell.
    used: hyperparameters, by strategy.
    """

    study: str
    dataset: str
    label: str
    place: Place
    accuracies: Mapping[str, Mapping[int, float]]
    seconds: Mapping[str, float]
    rule: str | None
    full: str | None
    probe: str | None
    rules: Mapping[str, str | None] = field(default_factory=dict)
    small_at_most: int = 50
    test_images: int | None = None
    used: Mapping[str, Used] = field(default_factory=dict)

    def odds(self, strategy: str) -> float:
        """Log odds of the strategy's mean accuracy (`reports.analysis.log_odds`)."""
        return log_odds(self.accuracy(strategy), self.test_images)

    def accuracy(self, strategy: str) -> float:
        """Mean over the strategy's seeds."""
        return fmean(self.accuracies[strategy].values())

    def gains(self, reference: str) -> dict[str, float]:
        """Paired difference to the reference by strategy: the mean over the seeds that both have."""
        base = self.accuracies.get(reference, {})
        shared = {
            s: [a - base[seed] for seed, a in own.items() if seed in base]
            for s, own in self.accuracies.items()
        }
        return {strategy: fmean(values) for strategy, values in shared.items() if values}

    @property
    def runs(self) -> int:
        return sum(map(len, self.accuracies.values()))


def conditions(
    document: StudyRecord, rows: Sequence[Row], found_searches: Sequence[Search] = ()
) -> list[Condition]:
    """Those of a study in which at least two strategies have a result; of a tuned study, the tuned results.

    found_searches: what they chose, of a tuned study.
    """
    chosen = {(search.condition, search.strategy): search.chosen for search in found_searches}
    datasets = {entry.label: entry for entry in document.datasets}
    backbones = {entry.label: backbone_key(entry) for entry in document.backbones}
    by_condition: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None:
            by_condition[condition_of(row)].append(row)
    found = []
    for (label, n, backbone), own in by_condition.items():
        own = _of_one_setting(own)
        place = _place(datasets[label], own[0], n, backbone, backbones[backbone])
        own_tuned = own[0].get("setting") == TUNED
        tuned = {s: v for (where, s), v in chosen.items() if own_tuned and where == (label, n, backbone)}
        condition = _condition(document, datasets[label], own, place, tuned)
        if len(condition.accuracies) >= LEAST_STRATEGIES:
            found.append(condition)
    return found


def _of_one_setting(rows: list[Row]) -> list[Row]:
    """The tuned results as soon as two strategies have some, else the others: the two are never mixed."""
    tuned = [row for row in rows if row.get("setting") == TUNED]
    if len({row["strategy"] for row in tuned}) >= LEAST_STRATEGIES:
        return tuned
    return [row for row in rows if row.get("setting") != TUNED] or tuned


def _place(entry: DatasetRecord, row: Row, n: int, label: str, backbone: str) -> Place:
    measured = [m for m in entry.measures if m.backbone == label]
    here = next((m for m in measured if m.n_per_class == n), None)
    similar = {"similar": True, "dissimilar": False}.get(row["similarity"])
    curve = {m.n_per_class: m.values for m in measured if m.n_per_class <= n}
    if here is None:
        return Place(backbone, n, similar=similar, curve=curve)
    return Place(backbone, n, here.classes, here.values, similar, curve, here.images)


def _condition(
    document: StudyRecord,
    entry: DatasetRecord,
    rows: Sequence[Row],
    place: Place,
    tuned: Mapping[str, Mapping[str, Any]],
) -> Condition:
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        accuracies[row["strategy"]][row["seed"]] = accuracy_of(row)
        if (spent := seconds_spent(row)) is not None:
            seconds[row["strategy"]].append(spent)
    matrix = document.matrix
    return Condition(
        document.name,
        dataset_key(entry.name, entry.options),
        entry.label,
        place,
        dict(accuracies),
        {strategy: fmean(values) for strategy, values in seconds.items()},
        matrix.rule.get(rows[0]["cell"]),
        matrix.baseline or plainest(document, "full"),
        plainest(document, "linear_probe"),
        matrix.rule,
        matrix.small_at_most,
        _test_images(accuracy_of(row) for row in rows),
        used_in(document, dataset_key(entry.name, entry.options), tuned),
    )


def _test_images(accuracies: Iterable[float]) -> int | None:
    """One over the smallest gap between accuracies, which are multiples of 1 / (test images); None where all are equal."""
    gap = smallest_gap(sorted(accuracies))
    return round(1 / gap) if gap else None


def dataset_key(name: str, options: Mapping[str, Any]) -> str:
    """The same for the same data under different labels, paths and numbers of images.

    A folder goes by its own name, wherever it lies: two that share it count as one dataset, which errs on the side of
    leaving out too much.
    """
    if name.startswith("folder:"):
        return f"folder:{name.rstrip('/').rpartition('/')[2].removeprefix('folder:')}"
    deciding = {
        key: value for key, value in sorted(options.items()) if not key.endswith(("_per_class", "_share"))
    }
    return f"{name}{deciding}" if deciding else name


def backbone_key(backbone: BackboneSpec) -> str:
    """Architecture and weights, as in `mobilenetv2_100 (checkpoint 2f93997305206daa)`."""
    source = backbone.source.name if backbone.source else ""
    origin = " ".join(filter(None, (backbone.weights, backbone.content or source, backbone.key)))
    return f"{backbone.name} ({origin})"


def reference(evidence: Sequence[Condition]) -> str | None:
    """The full fine-tuning that has a result in the most conditions: the baselines of the studies are its candidates."""
    candidates = dict.fromkeys(c.full for c in evidence if c.full)
    counts = {name: sum(name in c.accuracies for c in evidence) for name in candidates}
    return max(counts, key=lambda name: counts[name]) if any(counts.values()) else None


def comparable(evidence: Sequence[Condition], name: str | None) -> list[Condition]:
    """The conditions in which the reference `name` can be compared with something."""
    return [c for c in evidence if name and len(c.gains(name)) >= LEAST_STRATEGIES]


def without_curves(evidence: Sequence[Condition]) -> list[Condition]:
    return [replace(c, place=replace(c.place, curve={})) for c in evidence]
