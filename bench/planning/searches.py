"""One search: a strategy on one dataset, size and backbone, under the budget that every strategy gets. Torch-free."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from bench.core.spec import RunSpec, StrategySpec, TeacherSpec, content_hash
from bench.planning import compose
from bench.planning.search_space import Params, Searched, with_params

VERSION = 1
"""Part of every search's identity. Raise it when the same search would go another way than before."""


@dataclass(frozen=True)
class Budget:
    """What a search may use up: trials, seconds of training and preparation, or images seen in training."""

    unit: str  # "trials", "seconds" or "samples_seen"
    amount: float

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit.replace('_', '-')}"


DESIGN = "design"
"""The name of our own sampler (`bench.tuning.design`); all others are Optuna's."""


@dataclass(frozen=True)
class Method:
    """How it is searched, and how one of its trials is chosen.

    Attributes:
        splits: Divisions of the same labelled images that every trial is averaged over.
        choice: "smoothed": the best smoothed validation accuracy, where it is above that of the defaults by half its
            standard error; "highest": the highest as it is.
    """

    sampler: str = DESIGN
    sampler_options: dict[str, Any] | None = None
    pruner: str = "none"
    pruner_options: dict[str, Any] | None = None
    splits: int = 2
    objective: str = "accuracy"
    choice: str = "smoothed"

    def identity(self) -> dict[str, Any]:
        """What decides on the course and the choice of a search; as it was before there was a choice, where it is so."""
        content = asdict(self)
        for options in ("sampler_options", "pruner_options"):
            content[options] = content[options] or {}
        if self.choice == "highest":
            del content["choice"]
        return content | ({"folds": True} if self.splits > 1 else {})


@dataclass(frozen=True)
class Tuning:
    """`spec` is the first trial: the defaults, at the seed whose labelled images the search looks at."""

    spec: RunSpec
    space: tuple[Searched, ...]
    budget: Budget
    method: Method

    @property
    def tuning_id(self) -> str:
        """Without the budget: a larger one goes on where a smaller one ended."""
        content = {
            "version": VERSION,
            "run": self.spec.identity(),
            "space": [asdict(s) for s in self.space],
            "method": self.method.identity(),
        }
        return content_hash(content)

    @property
    def defaults(self) -> dict[str, Any]:
        return {s.name: s.default for s in self.space}

    def trial(self, params: Params, split: int) -> RunSpec:
        """What a trial trains on one of the splits."""
        return replace(with_strategy(self.spec, with_params(self.spec.strategy, params)), split=split)


def with_strategy(spec: RunSpec, strategy: StrategySpec) -> RunSpec:
    """The run with another strategy; its teacher follows the strategy's hyperparameters."""
    teacher = TeacherSpec(spec.teacher.backbone, teaching(strategy)) if spec.teacher else None
    return replace(spec, strategy=strategy, teacher=teacher)


def teaching(strategy: StrategySpec) -> StrategySpec:
    """How the teacher of this strategy is trained: fully fine-tuned at the rate `teacher_lr`."""
    rate = next(p.hyperparameters["teacher_lr"] for p in strategy.parts if "teacher_lr" in p.hyperparameters)
    return compose.parse("full", {"full": {"lr": rate}})


def judged_by_val(strategy: StrategySpec) -> bool:
    """Whether a part looks at validation images while it trains, so that they must stay apart from training."""
    return any(compose.part(p.name).judges_by_val for p in strategy.parts)


def final(spec: RunSpec, strategy: StrategySpec, refit: bool) -> RunSpec:
    """The run that is reported: the chosen hyperparameters, trained on the validation images too if the study says so."""
    fit: Literal["train", "train+val"] = "train+val" if refit and not judged_by_val(strategy) else "train"
    return replace(with_strategy(spec, strategy), train=replace(spec.train, fit=fit))
