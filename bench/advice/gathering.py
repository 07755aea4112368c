"""The evidence that advice is weighed from: the studies of a store, and those that come with the package.

A package's study is a file of `bench export` in `SHIPPED`; read, it is what a store would hold of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bench.core.errors import UserError
from bench.core.records.measures import MeasuresRecord
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.tracking import store as stores
from bench.tracking.exchange import file
from reports.analysis import evidence as known
from reports.analysis.evidence import Condition
from reports.analysis.forgiving import Forgiving, Tried, forgiving, tried
from reports.analysis.rows import StoredStudy, join
from reports.analysis.searches import searches

SHIPPED = Path(__file__).parent / "evidence"
"""Folder of the package's own evidence: exported studies, and a card that says what they are."""

LEAD = "evidence.parquet"
"""The study of many datasets, which the answer page is made from."""


@dataclass(frozen=True)
class Studied:
    """A study with what is stored of its runs. origin: "store", or "package"."""

    study: StudyRecord
    runs: Sequence[RunRecord]
    origin: str

    @property
    def joined(self) -> StoredStudy:
        """The plan with its results."""
        return join(self.study, self.runs)

    @property
    def conditions(self) -> list[Condition]:
        """What of it can be advised from."""
        found = self.joined
        budget = self.study.tune.budget if self.study.tune else ""
        return known.conditions(self.study, found.rows, searches(found.rows, self.runs, budget))


@dataclass(frozen=True)
class Evidence:
    """The conditions of a store that can be compared with full fine-tuning, and remarks on what was left out.

    forgiving: of strategies whose searches' trials are known with their hyperparameters, as in exported studies.
    """

    conditions: list[Condition]
    reference: str | None
    image_sizes: Mapping[str, int | None]  # by backbone identity
    notes: list[str]
    forgiving: list[Forgiving] = field(default_factory=list)


def of_store(uri: str) -> Iterator[Studied | str]:
    """All studies of a store, or why one is left out; none of a store that does not exist yet.

    Raises UserError where it cannot be read.
    """
    for name in stores.experiments(uri):
        runs = stores.read_runs(uri, name, params=())
        try:
            yield Studied(stores.read_study(uri, name, runs), runs, "store")
        except UserError as error:
            if name != "Default":
                yield f"left out: {error}"


def of_package(folder: Path | None = None) -> Iterator[Studied]:
    """The studies that come with the package."""
    for path in sorted((folder or SHIPPED).glob("*.parquet")):
        yield _from_file(path)


def lead() -> Studied:
    """The package's own study of many datasets. Raises `UserError` where the package has none."""
    path = SHIPPED / LEAD
    if not path.is_file():
        raise UserError(
            "the package holds no evidence; name a study of the store, or a file of `bench export`"
        )
    return _from_file(path)


def study_of(name: str, uri: str, path: Path) -> Studied:
    """From a file, where there is one of that name, else from the store. Raises `UserError` where neither has it."""
    if path.is_file():
        return _from_file(path)
    runs = stores.read_runs(uri, name)
    return Studied(stores.read_study(uri, name, runs), runs, "store")


def _from_file(path: Path) -> Studied:
    content = file.read(path)
    return Studied(content.study, content.runs, "package")


def sources(uri: str, shipped: bool = True) -> Iterator[Studied | str]:
    """Those of a store, before the package's: what somebody measured on the own machine goes first."""
    yield from of_store(uri)
    if shipped:
        yield from of_package()


def gather(
    sources: Iterable[Studied | str],
    measures: Sequence[tuple[str, MeasuresRecord]] = (),
    without: Sequence[str] = (),
) -> Evidence:
    """The conditions of all studies; of one that two sources have, the first one's.

    Args:
        sources: Studies, and remarks.
        measures: By label of a dataset, as `read_measures` gives them, for studies without.
        without: Patterns of labels of datasets that are left out.
    """
    found: dict[tuple[str, str, float, str], Condition] = {}
    sizes: dict[str, int | None] = {}
    notes: list[str] = []
    trials: list[Tried] = []
    for source in sources:
        if isinstance(source, str):
            notes.append(source)
            continue
        study = _with_measures(source.study, measures)
        trials += tried(source.runs)
        for condition in replace(source, study=study).conditions:
            place = condition.place
            if not any(fnmatchcase(condition.label, pattern) for pattern in without):
                key = (condition.study, condition.dataset, place.n_per_class, place.backbone)
                found.setdefault(key, condition)
        sizes = {known.backbone_key(b): study.train.image_size for b in study.backbones} | sizes
    return replace(_comparable(list(found.values()), sizes, notes), forgiving=forgiving(trials))


def _comparable(found: list[Condition], sizes: Mapping[str, int | None], notes: list[str]) -> Evidence:
    reference = known.reference(found)
    usable = known.comparable(found, reference)
    if len(usable) < len(found):
        notes.append(
            f"left out: {len(found) - len(usable)} conditions without {reference or 'full fine-tuning'}"
        )
    blind = sum(not c.place.measures for c in usable)
    if blind:
        notes.append(
            f"{blind} of {len(usable)} conditions come from studies without measures of similarity; there, distances "
            "rest on the images per class and on the declared similarity (bench similarity STUDY --json > FILE, then "
            "--measures FILE)"
        )
    return Evidence(usable, reference, sizes, notes)


def _with_measures(study: StudyRecord, measures: Sequence[tuple[str, MeasuresRecord]]) -> StudyRecord:
    """The study, its datasets that have no measures with those given for their labels."""

    def own(label: str) -> tuple[MeasuresRecord, ...]:
        return tuple(entry for dataset, entry in measures if dataset == label)

    datasets = (replace(entry, measures=entry.measures or own(entry.label)) for entry in study.datasets)
    return replace(study, datasets=tuple(datasets))


def read_measures(path: Path) -> list[tuple[str, MeasuresRecord]]:
    """Entries of a file that `bench similarity --json` wrote, each with its dataset's label. Raises UserError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [(str(entry.pop("dataset")), MeasuresRecord(**entry)) for entry in content]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--measures: {path} is not what `bench similarity --json` prints: {error}"
        ) from error
    return entries
