"""What a run is: plain frozen data, hashed to the run's identity. Torch-free.

A study expands to `RunSpec`s. Everything that can change a run's numbers is in its spec; what cannot (labels of
the matrix, checkpoints to keep, number of workers) is not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

SPEC_VERSION = 2
"""Part of every identity. Raise it when the same spec would train differently than before."""

CROPS = 2
"""The same for runs under random crops alone. 2: they are drawn from images in more detail than the network sees."""


@dataclass(frozen=True)
class DatasetSpec:
    """`name` as in the study ("synthetic/fine", "sklearn/digits", "folder:PATH", "torch/cifar10"), with its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    content: str = (
        ""  # of a folder: digest of its files and their names, so that other images are another run
    )


@dataclass(frozen=True)
class BackboneSpec:
    """A timm architecture and where its weights come from."""

    name: str
    weights: Literal["pretrained", "checkpoint", "source", "random"]
    checkpoint: str | None = None
    rename: dict[str, str] = field(
        default_factory=dict
    )  # regular expression -> replacement, on checkpoint keys
    source: DatasetSpec | None = None
    source_train: dict[str, Any] = field(default_factory=dict)  # overrides of the source pretraining's recipe
    kwargs: dict[str, Any] = field(default_factory=dict)  # passed to timm.create_model
    data_config: dict[str, Any] = field(default_factory=dict)  # overrides: mean, std, crop_pct, interpolation
    label: str = ""  # unique in the study; not part of the identity
    content: str = ""  # of a checkpoint: digest of the file, so that other weights are another run
    allow_missing: tuple[str, ...] = ()  # regular expressions: tensors that may keep their initial values
    key: str | None = None  # where in a checkpoint the network's names begin, as "teacher"

    def decisive(self) -> dict[str, Any]:
        """What decides on its numbers, as plain data. Not so the label, nor what may be missing: it is the weights that
        decide what is missing, and `allow_missing` only whether they are refused for it. `key` only where it is given,
        so that what was measured before there was one is found.
        """
        content = asdict(replace(self, label=""))
        del content["allow_missing"]
        if self.key is None:
            del content["key"]
        return content


@dataclass(frozen=True)
class PartSpec:
    """One entry of the strategies table with all its hyperparameters resolved."""

    name: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StrategySpec:
    """A composition: freezing schedule or method, learning-rate policy and schedule, regularisers and the rest."""

    freeze: PartSpec
    lr: tuple[PartSpec, ...]
    regularize: tuple[PartSpec, ...] = ()
    label: str = ""  # unique in the study; not part of the identity

    @property
    def parts(self) -> tuple[PartSpec, ...]:
        """All, in the order in which they are applied."""
        return (self.freeze, *self.lr, *self.regularize)


@dataclass(frozen=True)
class TrainSpec:
    """The training settings that all strategies of a study share."""

    __pydantic_config__ = {"extra": "forbid"}  # read by pydantic: an unknown setting is an error

    epochs: Annotated[int, Ge(1), Le(100_000)] = 10
    min_steps: Annotated[int, Ge(0), Le(10_000_000)] = (
        0  # small sets get more epochs, until this many optimisation steps
    )
    batch_size: Annotated[int, Ge(2), Le(100_000)] = 32  # BatchNorm needs two
    optimizer: str = "sgd"  # any of timm's
    optimizer_kwargs: dict[str, Any] = field(default_factory=dict)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.1  # share of a phase's steps
    clip_grad: Annotated[float, Gt(0)] | None = None  # largest norm of a step's gradient; None: as it is
    class_balance: Literal["none", "loss"] = "none"
    head_bias: Literal["default", "zero", "prior"] = "default"
    augment: Literal["none", "flip", "crop"] = "none"
    views: Annotated[int, Ge(0), Le(1_000)] = (
        0  # fixed crops of each image, drawn once; 0: a new crop at every look
    )
    image_size: Annotated[int, Ge(8), Le(4096)] | None = None  # None: the backbone's own
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # a plan resolves it: see bench.planning.precision
    cpu_kernels: Literal["auto", "off"] = "auto"  # our own where they are faster; "off": torch's everywhere
    val_share: Annotated[float, Gt(0), Lt(1)] = 0.2  # of the n images per class, apart from training
    evaluate: Literal["last", "best"] = "last"  # "best": the epoch with the highest val accuracy
    fit: Literal["train", "train+val"] = (
        "train"  # the latter once nothing is left to choose on validation images
    )

    @property
    def dtype(self) -> Literal["fp32", "bf16"]:
        """What is computed in: "auto" that no plan has resolved is fp32."""
        return "bf16" if self.precision == "bf16" else "fp32"


@dataclass(frozen=True)
class TeacherSpec:
    """A network fine-tuned on a run's own training images before the run, for the run to learn from."""

    backbone: BackboneSpec
    strategy: StrategySpec


@dataclass(frozen=True)
class RunSpec:
    """One run, completely."""

    dataset: DatasetSpec
    n_per_class: int | Literal["all"]
    backbone: BackboneSpec
    strategy: StrategySpec
    seed: int
    train: TrainSpec = TrainSpec()
    teacher: TeacherSpec | None = None  # of strategies that learn from another network
    split: int = 0  # of the same images into training and validation: the search may look at several

    def identity(self) -> dict[str, Any]:
        """The canonical content that is hashed: no labels, and no setting that is at its default.

        So a setting that is added later leaves the runs in existing stores valid; a default that changes must
        raise SPEC_VERSION. Hyperparameters of strategies are in it with their values, defaults or not. The precision is
        the one computed in: a plan resolves "auto", and what it has not resolved is fp32.
        """
        optional: dict[str, Any] = {"teacher": self.teaching().identity()} if self.teacher else {}
        optional |= {"split": self.split} if self.split else {}
        optional |= {"crops": CROPS} if self.train.augment == "crop" else {}
        return {
            "version": SPEC_VERSION,
            "dataset": _without_defaults(self.dataset),
            "n_per_class": self.n_per_class,
            "backbone": _without_defaults(self.backbone, "label", "allow_missing"),
            "strategy": _without_labels(self.strategy),
            "seed": self.seed,
            "train": _without_defaults(self.train, "precision" if self.train.dtype == "fp32" else ""),
            **optional,
        }

    def teaching(self) -> RunSpec:
        """The run that makes this run's teacher."""
        assert self.teacher
        return replace(self, backbone=self.teacher.backbone, strategy=self.teacher.strategy, teacher=None)

    @property
    def run_id(self) -> str:
        return content_hash(self.identity())


def _without_labels(strategy: StrategySpec) -> dict[str, Any]:
    """Neither its own label nor that of its teacher, which has an identity of its own."""

    def content(part: PartSpec) -> dict[str, Any]:
        return {
            **vars(part),
            "hyperparameters": {k: v for k, v in part.hyperparameters.items() if k != "teacher"},
        }

    return {
        k: content(v) if isinstance(v, PartSpec) else list(map(content, v))
        for k, v in vars(strategy).items()
        if k != "label"
    }


def _without_defaults(spec: Any, *besides: str) -> dict[str, Any]:
    """Not by `asdict` of the whole: that copies each value, and a plan of 10,000 runs asks for 30,000 of these."""
    defaults = _defaults(type(spec))  # type: ignore[arg-type]  # classes are hashable
    kept = {k: v for k, v in vars(spec).items() if v != defaults[k] and k not in besides}
    return {k: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v for k, v in kept.items()}


@lru_cache
def _defaults(spec: type) -> dict[str, Any]:
    return {f.name: f.default_factory() if callable(f.default_factory) else f.default for f in fields(spec)}


def content_hash(content: Any, length: int = 16) -> str:
    """Hex digest of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
