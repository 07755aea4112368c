"""The study document, `study.json`: all that a report says of a study besides its runs.

`bench.planning.plan.Plan.document` makes it, the driver adds what preparation found and measured,
`bench.tracking.experiment` stores it, `bench.tracking.store.read_study` reads it.

Fields with a default may be absent in a stored document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from bench.core.errors import UserError
from bench.core.records.looks import RaceRecord
from bench.core.records.measures import MeasuresRecord
from bench.core.records.planned import PlannedRow
from bench.core.spec import BackboneSpec, StrategySpec, TrainSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Choice:
    """The number format that `precision: auto` has become for a backbone, and the reason in words."""

    dtype: Literal["fp32", "bf16"]
    why: str

    def __str__(self) -> str:
        return f"{self.dtype} ({self.why})"


@dataclass(frozen=True)
class MatrixRecord:
    """How cells are defined, and what the rule under test says.

    Attributes:
        small_at_most: Images per class up to which a dataset is small.
        margin: Accuracy, a fraction, within which two strategies count as equal.
        rule: Cell -> label of the strategy that the rule picks there; None where the study lacks it.
        baseline: Label of the strategy that all are ranked against.
    """

    small_at_most: int
    margin: float
    rule: Mapping[str, str | None]
    baseline: str | None = None


@dataclass(frozen=True)
class MeasuringRecord:
    """Whether a dataset's measures on a backbone were taken.

    Attributes:
        of: Digest of all that decides them.
        missing: Why there are none, in words; None where there are.
        final: Whether the network or the images do not allow them, so that they are not tried again.
    """

    of: str
    missing: str | None = None
    final: bool = False


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset of the study.

    Attributes:
        name: As in the study file: "synthetic/fine", "folder:PATH", ...
        label: In tables and tags.
        similarity: "similar", "dissimilar" or "measured", as the study says.
        similarity_text: The same in words, with what was measured.
        data_text: What is known of its images without decoding them, a sentence each.
        notes: What preparation found that a reader should know; None: not prepared yet.
        classes: Names of its classes, in the order of their numbers; empty: not prepared yet, or by an earlier version.
        measures: By backbone and size.
        measured: By label of a backbone: whether `measures` has entries of it.
    """

    name: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    similarity: str = ""
    n_per_class: tuple[int | str, ...] = ()
    similarity_text: str = ""
    data_text: tuple[str, ...] = ()
    notes: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    measures: tuple[MeasuresRecord, ...] = ()
    measured: Mapping[str, MeasuringRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class BackboneRecord(BackboneSpec):
    """A backbone of the study.

    Attributes:
        notes: What preparation found that a reader should know; None: not prepared yet.
        precision: What `precision: auto` has become on it; None where the study names a precision, or it is not measured.
    """

    notes: tuple[str, ...] | None = None
    precision: Choice | None = None


@dataclass(frozen=True)
class LeftOut:
    """A product of a strategy's axes that makes no sense, and why."""

    label: str
    reason: str


@dataclass(frozen=True)
class TuneRecord:
    """The search that a study asks for: the fields of `bench.planning.study.Tune`, and what is searched.

    What a stored document lacks was not there when it was written, and has the value of that time.

    Attributes:
        spaces: Label of a strategy -> "part.hyperparameter" -> its range in words.
    """

    trials: int | None = None
    seconds: float | None = None
    samples_seen: int | None = None
    sampler: str = "tpe"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner: str = "none"
    pruner_options: Mapping[str, Any] = field(default_factory=dict)
    splits: int = 1
    objective: str = "accuracy"
    choice: Literal["smoothed", "highest"] = "highest"
    search: tuple[str, ...] = ("*",)
    fix: tuple[str, ...] = ()
    ranges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    each_seed: bool = False
    refit: bool = True
    untuned: bool = True
    parallel: int = 1
    spaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        """As "12 trials"; as a search's record has it."""
        units = {"trials": self.trials, "seconds": self.seconds, "samples_seen": self.samples_seen}
        return next((f"{n:g} {u.replace('_', '-')}" for u, n in units.items() if n is not None), "")


@dataclass(frozen=True)
class StudyRecord:
    """A study as it is stored.

    Attributes:
        plan: Its runs, in the order in which they are started.
        command: The call of `bench` that wrote it, without passwords.
        store: The store that it was written to, without passwords.
        git_commit: Of the checkout that ran it; None of an installed package.
        race: How looks are planned where seeds are added until cells are decided; None of a fixed number of seeds.
    """

    name: str
    matrix: MatrixRecord
    datasets: tuple[DatasetRecord, ...]
    backbones: tuple[BackboneRecord, ...]
    strategies: tuple[StrategySpec, ...]
    plan: tuple[PlannedRow, ...]
    question: str = ""
    left_out: tuple[LeftOut, ...] = ()
    seeds: tuple[int, ...] = ()
    train: TrainSpec = field(default_factory=TrainSpec)
    tune: TuneRecord | None = None
    command: str = ""
    store: str = ""
    git_commit: str | None = None
    race: RaceRecord | None = None

    def to_json(self) -> dict[str, Any]:
        """What `study.json` holds. Rows without `asdict`, which copies each value: there may be 100,000 of them."""
        return asdict(replace(self, plan=())) | {"plan": [dict(vars(row)) for row in self.plan]}

    @classmethod
    def from_json(cls, content: object) -> StudyRecord:
        """The record that the content of a `study.json` is. Raises `UserError` that names the field that is not."""
        from pydantic import ValidationError

        try:
            return _adapter().validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{where + ': ' if where else ''}{first['msg']}") from None


@lru_cache
def _adapter() -> TypeAdapter[StudyRecord]:
    """Pydantic's reader of the record, built on first use: that takes some 20 ms."""
    from pydantic import TypeAdapter

    return TypeAdapter(StudyRecord)
