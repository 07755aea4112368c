"""The measures of transferability of a study: which it has, which are still to be taken, and as whose jobs. Torch-free.

They are for the report alone, so runs do not wait for them: they are jobs among the runs, found again in the cache, or
in the stored study, by all that decides them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bench.core.errors import last_line
from bench.core.jobs import Ended, Job
from bench.core.records.measures import MeasuresRecord
from bench.core.records.study import DatasetRecord, MeasuringRecord, StudyRecord
from bench.core.schema import MEASURES
from bench.core.spec import content_hash
from bench.execution.failures import Failures
from bench.planning import measured_similarity as record
from bench.planning.measured_similarity import MeasuresKey
from bench.planning.plan import Plan
from bench.storage.places import Places

NOT_YET = "not measured yet; the next call of bench run does it"

Pair = tuple[str, str]
"""Labels of a dataset and a backbone."""


@dataclass(frozen=True)
class Missing:
    """why, in words. final: the network or the images do not allow it, so it is not tried again."""

    why: str = NOT_YET
    final: bool = False


@dataclass
class Measures:
    """Entries of pairs as the study document has them, and why other pairs have none."""

    plan: Plan
    places: Places
    found: dict[Pair, list[MeasuresRecord]] = field(default_factory=dict)
    missing: dict[Pair, Missing] = field(default_factory=dict)
    unsaved: bool = False  # something ended since `entered` was called

    @classmethod
    def of(cls, plan: Plan, places: Places, study: StudyRecord | None = None) -> Measures:
        """What the cache knows, or else the stored record of the same study."""
        own = cls(plan, places)
        stored = {entry.label: entry for entry in study.datasets} if study else {}
        for pair in own._pairs:
            entries, missing = own._known(pair), Missing()
            if entries is None:
                entries, missing = own._stored(pair, stored.get(pair[0]))
            if entries is None:
                own.missing[pair] = missing
            else:
                own.found[pair] = entries
        return own

    @property
    def settled(self) -> bool:
        """Whether nothing is missing but what networks or images do not allow."""
        return all(missing.final for missing in self.missing.values())

    def jobs(self, failures: Failures) -> list[Job]:
        """For what is missing, unless what it needs has failed before."""
        jobs = []
        for pair in list(self.missing):
            if failure := failures.at(dataset=pair[0], backbone=pair[1]):
                self.missing[pair] = Missing(str(failure))
                self.unsaved = True
            else:
                jobs.append(self._job(pair))
        return jobs

    def take_in(self, event: Ended) -> Missing | None:
        """Take in what became of a job. -> what is missing now, if that."""
        pair = self._by_key[event.job.key]
        self.unsaved = True
        if event.user_error or event.crash:
            self.missing[pair] = Missing(
                event.user_error or f"measuring failed: {last_line(event.crash or '')}",
                bool(event.user_error),
            )
            return self.missing[pair]
        self.found[pair] = event.result
        self.missing.pop(pair, None)
        return None

    def is_one(self, job: Job) -> bool:
        """Whether the job is one of these."""
        return job.function == "bench.execution.worker:measure_all"

    def entered(self, study: StudyRecord) -> StudyRecord:
        """The study with these measures: entries, what they are of, and what is missing."""
        self.unsaved = False
        return replace(study, datasets=tuple(map(self._entered, study.datasets)))

    def _entered(self, dataset: DatasetRecord) -> DatasetRecord:
        pairs = [pair for pair in self._pairs if pair[0] == dataset.label]
        measuring = {pair[1]: self._measuring(pair) for pair in pairs}
        entries = (entry for pair in pairs for entry in self.found.get(pair, []))
        return replace(dataset, measures=tuple(entries), measured=measuring)

    def _measuring(self, pair: Pair) -> MeasuringRecord:
        missing = self.missing.get(pair)
        return MeasuringRecord(
            self._digest(pair), missing.why if missing else None, bool(missing and missing.final)
        )

    def entries(self) -> list[tuple[str, MeasuresRecord]]:
        """One per dataset, whose label comes first, backbone and size; those of pairs that have none say why."""
        found = []
        for pair, (target, _) in self._pairs.items():
            why = self.missing[pair].why if pair in self.missing else ""
            nothing = [
                MeasuresRecord(pair[1], images, missing=dict.fromkeys(MEASURES, why))
                for images in target.images.values()
            ]
            found += [(pair[0], entry) for entry in self.found.get(pair, nothing)]
        return found

    @cached_property
    def _pairs(self) -> dict[Pair, tuple[Any, Any]]:
        return {(t.label, b.label): (t, b) for t in self.plan.targets for b in self.plan.backbones}

    def _keys(self, pair: Pair) -> dict[int, MeasuresKey]:
        """By images per class."""
        target, backbone = self._pairs[pair]
        study = self.plan.study
        rest = (backbone, study.all_seeds[0], study.train.image_size)
        return {images: MeasuresKey(target.spec, n, *rest) for n, images in target.images.items()}

    def _digest(self, pair: Pair) -> str:
        """Of all that decides the entries."""
        return content_hash([str(key.path(self.places.cache).name) for key in self._keys(pair).values()])

    def _known(self, pair: Pair) -> list[MeasuresRecord] | None:
        """As the cache has them."""
        read = {n: record.read_measures(key, self.places.cache) for n, key in self._keys(pair).items()}
        if not all(read.values()):
            return None
        return [MeasuresRecord(pair[1], n, **(found or {})) for n, found in read.items()]

    def _stored(self, pair: Pair, entry: DatasetRecord | None) -> tuple[list[MeasuresRecord] | None, Missing]:
        """As a stored study has them, where they are of the same."""
        known = entry.measured.get(pair[1]) if entry else None
        if entry is None or known is None or known.of != self._digest(pair):
            return None, Missing()
        if known.missing:
            return None, Missing(known.missing, known.final)
        return [m for m in entry.measures if m.backbone == pair[1]], Missing()

    def _job(self, pair: Pair) -> Job:
        target, backbone = self._pairs[pair]
        study = self.plan.study
        args = (target.spec, target.images, backbone, study.all_seeds[0], study.train.image_size, self.places)
        return Job(_key(pair), "bench.execution.worker:measure_all", args, f"{pair[0]} on {pair[1]}")

    @cached_property
    def _by_key(self) -> dict[str, Pair]:
        return {_key(pair): pair for pair in self._pairs}


def _key(pair: Pair) -> str:
    return f"measures:{pair[0]}:{pair[1]}"
