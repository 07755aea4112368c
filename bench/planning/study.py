"""The schema of a study file. Every field is documented here once; `bench schema` publishes it for editors."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from bench.core.records.looks import RaceRecord
from bench.core.spec import TrainSpec
from bench.planning import seeds
from bench.planning.seeds import UntilDecided

Cell = Literal["similar-small", "similar-large", "dissimilar-small", "dissimilar-large"]
Hyperparameters = dict[str, dict[str, Any]]


def _images(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError('expected a whole number of at least 1, or "all"')


DATABASES, JOURNALS = (".db", ".sqlite", ".sqlite3"), (".journal", ".log", ".jsonl")


def _named_as(path: str, endings: tuple[str, ...]) -> None:
    """Raises ValueError where a study would have a file written that may be anything, as what a shell reads at its start."""
    if not path.endswith(endings):
        raise ValueError(f"the file must end in {' or '.join(endings)}, so that it is no other kind of file")


def _database(address: str | None) -> str | None:
    if address and address.startswith("sqlite"):
        _named_as(address.partition("?")[0], DATABASES)
    return address


IMAGES_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}]}
Images = Annotated[Any, PlainValidator(_images, json_schema_input_type=Any), WithJsonSchema(IMAGES_SCHEMA)]

MAX_STRATEGIES = 1_000  # that one entry's axes expand to


def one_line(label: str) -> str:
    """`label`, which stands in tables, tags and names of runs. Raises `ValueError`."""
    if len(label) > 250 or any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in label):
        raise ValueError("a label is one line of at most 250 characters, without control characters")
    return label


Label = Annotated[str, AfterValidator(one_line)]

TEXTBOOK: dict[str, str] = {
    "similar-small": "linear_probe",
    "similar-large": "full",
    "dissimilar-small": "last_stages",
    "dissimilar-large": "scratch",
}
"""The decision matrix of documents 001 and 004, as freezing schedules."""


class Entry(BaseModel):
    """A mapping that may be written as a bare string, which then is its `shorthand_field`."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {cls.shorthand_field(): value} if isinstance(value, str) else value

    @classmethod
    def shorthand_field(cls) -> str:
        return "name"

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, described]}


class DatasetEntry(Entry):
    """A target dataset, its axis of images per class, and where it stands in the matrix."""

    name: str = Field(
        description="synthetic/..., sklearn/digits, folder:PATH, torch/NAME: see `bench datasets`"
    )
    options: dict[str, Any] = Field({}, description="options of that dataset")
    similarity: Literal["similar", "dissimilar", "measured"] = Field(
        description="to the data the backbones were pretrained on; measured: for backbones with a `source`"
    )
    n_per_class: list[Images] = Field(
        min_length=1,
        max_length=100,
        description='labelled images per class, validation included; "all" takes every image',
    )
    label: Label = Field("", description="name in tables and tags; default: from the name")

    @field_validator("n_per_class", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]


class SourceEntry(Entry):
    """A dataset to pretrain on."""

    name: str
    options: dict[str, Any] = {}


class BackboneEntry(Entry):
    """A timm architecture and exactly one origin of its weights."""

    name: str = Field(description="any timm model: see `bench backbones`")
    pretrained: bool = Field(False, description="timm's own weights, from the hub")
    checkpoint: str | None = Field(
        None, description="a local .safetensors or .pth file, relative to the study file"
    )
    key: str | None = Field(
        None,
        min_length=1,
        description="where in the checkpoint the network is, if it holds several: teacher, or state_dict.module.encoder_q",
    )
    source: SourceEntry | None = Field(None, description="a dataset the harness pretrains it on, once")
    random: bool = Field(False, description="no weights at all: only to measure what transfer is worth")
    rename: dict[str, str] = Field({}, description="regular expression -> replacement, on checkpoint keys")
    source_train: dict[str, Any] = Field({}, description="changes to the recipe of the source pretraining")
    kwargs: dict[str, Any] = Field({}, description="passed to timm.create_model")
    data_config: dict[str, Any] = Field({}, description="overrides of mean, std, crop_pct, interpolation")
    allow_missing: list[str] = Field(
        [],
        max_length=100,
        description="regular expressions: the network's tensors that may keep their initial values where the weights "
        "lack them or have them in another shape; without it such weights are refused",
    )
    label: Label = Field("", description="name in tables and tags; default: the name")

    @field_validator("allow_missing")
    @classmethod
    def _patterns(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> BackboneEntry:
        given = [k for k in ("pretrained", "checkpoint", "source", "random") if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(
                f"{self.name} needs exactly one origin of its weights, has {' and '.join(given) or 'none'}: "
                "pretrained: true (timm's), checkpoint: FILE, source: DATASET (pretrained here), "
                "or random: true if untrained weights are what you want to fine-tune"
            )
        if self.key and not self.checkpoint:
            raise ValueError("`key` says where in a checkpoint the network is: it goes with `checkpoint`")
        return self

    @property
    def weights(self) -> Literal["pretrained", "checkpoint", "source", "random"]:
        return next(k for k in ("pretrained", "checkpoint", "source", "random") if getattr(self, k))


class StrategyEntry(Entry):
    """One composition (`use`), or axes that expand to the product of their parts."""

    use: str | None = Field(
        None, description='"freeze [+ lr policy] [+ regulariser ...]", as in full + head_x10 + l2_sp'
    )
    label: Label = Field("", description="name in tables and tags; default: the composition")
    hyperparameters: Hyperparameters = Field(
        {}, description="part -> hyperparameter -> value, for this entry"
    )
    freeze: list[str] = Field([], description="axis: freezing schedules")
    lr: list[str] = Field(["uniform"], description="axis: learning-rate policies")
    regularize: list[str] = Field(
        ["none"], description='axis: regularisers; several at once as "l2_sp + keep_norm_stats"'
    )

    @classmethod
    def shorthand_field(cls) -> str:
        return "use"

    @field_validator("freeze", "lr", "regularize", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _either(self) -> StrategyEntry:
        if self.use is not None and not self.use.strip():
            raise ValueError("an empty strategy; `bench strategies` lists what there is")
        if (self.use is None) == (not self.freeze):
            raise ValueError("give either `use: full + l2_sp` or axes with at least `freeze: [...]`")
        if self.use and self.model_fields_set & {"lr", "regularize"}:
            raise ValueError(
                "`use` names the whole composition; `lr` and `regularize` are axes that go with `freeze`"
            )
        expanded = len(self.freeze) * len(self.lr) * len(self.regularize)
        if expanded > MAX_STRATEGIES:
            raise ValueError(f"its axes expand to {expanded:,} strategies, more than {MAX_STRATEGIES:,}")
        if self.freeze and self.label:
            raise ValueError("a label names one strategy, and axes expand to several")
        return self


class Matrix(BaseModel):
    """How cells are defined, and what the rule under test says in each."""

    model_config = ConfigDict(extra="forbid")

    small_at_most: int = Field(50, ge=1, description="images per class up to which a dataset counts as small")
    similar_at_most: float = Field(
        0.15,
        gt=0,
        description="measured Fréchet distance at the stem up to which a dataset counts as similar",
    )
    margin: float = Field(0.01, gt=0, lt=1, description="accuracy within which two strategies count as equal")
    baseline: str | None = Field(
        None,
        description="label of the strategy that all are ranked against; default: the plainest full fine-tuning",
    )
    rule: dict[Cell, str] = Field(
        {},
        description="cell -> label of the strategy that the rule picks; default: the textbook's, where the study has it",
    )


class Tune(BaseModel):
    """How every strategy's hyperparameters are searched: on validation images only, all strategies for the same budget."""

    model_config = ConfigDict(extra="forbid")

    trials: int | None = Field(
        None, ge=1, description="budget: trials per strategy, dataset, size and backbone"
    )
    seconds: float | None = Field(None, gt=0, description="budget: seconds of training and preparation")
    samples_seen: int | None = Field(
        None, ge=1, description="budget: images seen in training, each time counted"
    )
    sampler: str = Field(
        "tpe", description="tpe, gp, cmaes, nsga2, nsga3, random, qmc, or any class of optuna.samplers"
    )
    sampler_options: dict[str, Any] = Field({}, description="keyword arguments of the sampler")
    pruner: str = Field(
        "none",
        description="none, median, hyperband, asha (by epochs), wilcoxon (by splits), or any class of optuna.pruners",
    )
    pruner_options: dict[str, Any] = Field({}, description="keyword arguments of the pruner")
    splits: int = Field(
        1,
        ge=1,
        description="divisions of the same labelled images into training and validation, averaged over",
    )
    objective: Literal["accuracy", "accuracy x cost"] = Field(
        "accuracy",
        description="maximise validation accuracy; or that, and minimise training time (nsga2, tpe)",
    )
    search: list[str] = Field(
        ["*"], description="patterns of the hyperparameters that are searched, as in *.lr or l2_sp.*"
    )
    fix: list[str] = Field([], description="patterns of hyperparameters that are not")
    ranges: Hyperparameters = Field(
        {}, description="part -> hyperparameter -> [low, high] or a list of choices, in place of the declared"
    )
    each_seed: bool = Field(
        False,
        description="a search for each seed's labelled images, instead of one for all with the first seed's",
    )
    refit: bool = Field(True, description="train the chosen setting on training and validation images")
    untuned: bool = Field(
        True, description="run every strategy with its default hyperparameters as well, beside the tuned"
    )
    parallel: int = Field(
        1, ge=1, description="workers that may share a search; above 1 its course depends on their timing"
    )
    storage: str | None = Field(
        None,
        description="Optuna's: sqlite:///FILE, postgresql://..., or a journal file; "
        "default: OPTUNA_STORAGE, or optuna.journal beside mlflow.db",
    )

    @field_validator("storage")
    @classmethod
    def _is_a_database_or_journal(cls, value: str | None) -> str | None:
        if value and "://" not in value:
            _named_as(value, JOURNALS)
        return _database(value)

    @model_validator(mode="after")
    def _one_budget(self) -> Tune:
        given = [k for k in ("trials", "seconds", "samples_seen") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a search needs exactly one budget, has {' and '.join(given) or 'none'}: trials, seconds, or samples_seen"
            )
        return self

    @property
    def budget(self) -> tuple[str, float]:
        """(unit, amount)."""
        unit = next(k for k in ("trials", "seconds", "samples_seen") if getattr(self, k) is not None)
        return unit, getattr(self, unit)


class Study(BaseModel):
    """A question, and the grid of runs that answers it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="also the name of the MLflow experiment")
    question: str = Field("", description="what the study is to settle, in a sentence")
    datasets: list[DatasetEntry] = Field(min_length=1)
    backbones: list[BackboneEntry] = Field(min_length=1)
    teachers: list[BackboneEntry] = Field(
        [],
        description="networks that only teach: a `teacher` hyperparameter names one of these, or a backbone, by its label",
    )
    strategies: list[StrategyEntry] = Field(min_length=1)
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | UntilDecided = Field(
        description="how many (from 0), a list, or {until: decided, at_most: 20}: as many as verdicts take",
        json_schema_extra=seeds.or_a_number,
    )
    hyperparameters: Hyperparameters = Field(
        {}, description="part -> hyperparameter -> value, for all strategies"
    )
    train: TrainSpec = TrainSpec()
    matrix: Matrix = Matrix()
    tune: Tune | None = Field(
        None, description="search the strategies' hyperparameters; without it they stay as given"
    )
    store: str | None = Field(
        None, description="MLflow tracking URI; default: MLFLOW_TRACKING_URI or sqlite:///mlflow.db"
    )
    checkpoints: Literal["none", "best", "all"] = Field(
        "none", description="kept as artifacts: none, the one that was evaluated, or best and last"
    )
    system_metrics: bool = Field(True, description="MLflow's system metrics (CPU, memory, GPU) of every run")

    @model_validator(mode="after")
    def _last_epoch(self) -> Study:
        if self.train.fit != "train":
            raise ValueError("train.fit is not for studies to set: see tune.refit")
        if self.tune and self.tune.refit and self.train.evaluate == "best":
            raise ValueError(
                "train.evaluate: best picks the epoch on validation images, which tune.refit trains on; "
                "use evaluate: last, or refit: false"
            )
        return self

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("use letters, digits, '.', '_' and '-': the name is also a folder's")
        return name

    @field_validator("store")
    @classmethod
    def _is_a_database(cls, value: str | None) -> str | None:
        return _database(value)

    @field_validator("seeds", mode="wrap")
    @classmethod
    def _checked_seeds(cls, value: Any, handler: Any) -> list[int] | UntilDecided:
        return seeds.checked(value)

    @property
    def all_seeds(self) -> list[int]:
        """Every seed that a run may have."""
        return list(range(self.seeds.at_most)) if isinstance(self.seeds, UntilDecided) else self.seeds

    @property
    def race(self) -> RaceRecord | None:
        """How looks are planned; None of a study with a fixed number of seeds."""
        return self.seeds.record() if isinstance(self.seeds, UntilDecided) else None
