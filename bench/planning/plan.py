"""Study -> the runs it asks for, each checked as far as is possible without loading a network. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, nearest
from bench.core.records.planned import PlannedRow
from bench.core.records.study import (
    BackboneRecord,
    Choice,
    DatasetRecord,
    LeftOut,
    MatrixRecord,
    StudyRecord,
    TuneRecord,
)
from bench.core.spec import BackboneSpec, RunSpec, StrategySpec, TeacherSpec, TrainSpec
from bench.data.folders import sentences as about
from bench.planning import compose, precision, targets
from bench.planning import search_space as spaces
from bench.planning.backbones import resolve
from bench.planning.load import locate, located
from bench.planning.search_space import Params, with_params
from bench.planning.searches import Budget, Method, Tuning, final, teaching
from bench.planning.seeds import MAX_RUNS
from bench.planning.study import TEXTBOOK, BackboneEntry, Study
from bench.planning.targets import UNMEASURED, Target


@dataclass(frozen=True)
class PlannedRun:
    """A run and where it stands in the matrix.

    setting: "default", or "tuned": with the hyperparameters that the search `tuning` has chosen. As long as that search
    is not over, `waiting` holds and `spec` is the default one.
    """

    spec: RunSpec
    run_id: str
    dataset: str
    similarity: str
    size: str
    images_per_class: int
    setting: str = "default"
    tuning: Tuning | None = None
    waiting: bool = False

    @property
    def cell(self) -> str:
        return f"{self.similarity}-{self.size}"

    def row(self) -> PlannedRow:
        return PlannedRow(
            self.run_id,
            self.dataset,
            self.similarity,
            self.size,
            self.cell,
            self.images_per_class,
            self.spec.backbone.label,
            self.spec.strategy.label,
            self.spec.seed,
            self.setting,
            self.tuning.tuning_id if self.tuning else None,
        )

    def chosen(self, params: Params, refit: bool) -> PlannedRun:
        """This run with the hyperparameters that its search has chosen."""
        assert self.tuning
        spec = final(self.spec, with_params(self.spec.strategy, params), refit)
        return replace(self, spec=spec, run_id=spec.run_id, waiting=False)


@dataclass(frozen=True)
class Plan:
    """All runs of a study, in the order in which they are started."""

    study: Study
    path: Path
    cache: Path
    runs: list[PlannedRun]
    targets: list[Target]
    strategies: list[StrategySpec]
    backbones: list[BackboneSpec]
    teachers: list[BackboneSpec]
    left_out: dict[str, str]  # label -> why a product of axes was left out
    rule: dict[str, str | None]  # cell -> label of the strategy that the rule picks
    baseline: str | None  # label of the strategy that all are ranked against
    precision: dict[str, Choice | None]  # backbone label -> what "auto" is; None: to be measured

    @property
    def undecided(self) -> list[BackboneSpec]:
        """The backbones whose precision is measured when the study is prepared."""
        return [b for b in self.backbones if b.label in self.precision and self.precision[b.label] is None]

    @property
    def tunings(self) -> dict[str, PlannedRun]:
        """The searches by identity, each with one of the runs that wait for it (its row says where it stands)."""
        return {run.tuning.tuning_id: run for run in reversed(self.runs) if run.tuning}

    def with_choices(self, choices: Mapping[str, Params]) -> Plan:
        """The plan with the hyperparameters that finished searches (by identity) have chosen."""
        if not self.study.tune:
            return self
        refit = self.study.tune.refit
        runs = [
            run.chosen(choices[run.tuning.tuning_id], refit)
            if run.tuning and run.tuning.tuning_id in choices
            else run
            for run in self.runs
        ]
        return replace(self, runs=runs)

    @property
    def unmeasured(self) -> bool:
        """Whether cells wait for a similarity that is measured when the study is prepared."""
        return any(run.similarity == UNMEASURED for run in self.runs)

    @property
    def base(self) -> Path:
        """What relative paths in the study refer to."""
        return self.path.parent

    def document(self) -> StudyRecord:
        """What is stored of a study, so that reports need nothing but the store."""
        study, matrix = self.study, self.study.matrix
        return StudyRecord(
            study.name,
            MatrixRecord(matrix.small_at_most, matrix.margin, self.rule, self.baseline),
            tuple(self._datasets()),
            tuple(BackboneRecord(**vars(b), precision=self.precision.get(b.label)) for b in self.backbones),
            tuple(self.strategies),
            tuple(run.row() for run in self.runs),
            study.question,
            tuple(LeftOut(label, reason) for label, reason in self.left_out.items()),
            tuple(study.all_seeds),
            study.train,
            self._tune(),
            race=study.race,
        )

    def _datasets(self) -> Iterator[DatasetRecord]:
        for entry, target in zip(self.study.datasets, self.targets, strict=True):
            yield DatasetRecord(
                entry.name,
                target.label,
                entry.options,
                entry.similarity,
                tuple(entry.n_per_class),
                target.explain(self.backbones, self.study, self.cache),
                tuple(about.sentences(target.info)),
            )

    def _tune(self) -> TuneRecord | None:
        """The search as the study asks for it, and what it searches of each strategy."""
        if not self.study.tune:
            return None
        spaces = {
            run.spec.strategy.label: {s.name: s.text for s in run.tuning.space}
            for run in self.runs
            if run.tuning
        }
        asked: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.study.tune.model_dump(exclude={"storage"}).items()
        }
        return TuneRecord(**asked, spaces=spaces)


def make(study: Study, path: Path, cache: Path) -> Plan:
    """Expand and check. Raises `UserError`, with the place in the file, for whatever cannot work.

    `cache`: where similarities and precision measured by earlier calls are found.
    """
    strategies, left_out = _strategies(study, path)
    made = [targets.make(entry, study, path, i, cache) for i, entry in enumerate(study.datasets)]
    backbones = [_backbone(b, path, "backbones", i, cache) for i, b in enumerate(study.backbones)]
    teachers = [_backbone(b, path, "teachers", i, cache) for i, b in enumerate(study.teachers)]
    _refuse_duplicates([target.label for target in made], path, "datasets")
    _refuse_duplicates([b.label for b in [*backbones, *teachers]], path, "backbones and teachers")
    _refuse_duplicates([s.label for s in strategies], path, "strategies")
    _refuse_unmeasurable(made, backbones, path)
    _refuse_too_many(len(strategies) * len(backbones) * len(study.all_seeds), made, path)
    auto = study.train.precision == "auto"
    chosen = {b.label: precision.choose(b, study.train, cache) for b in backbones if auto}
    base = [
        PlannedRun(
            spec,
            spec.run_id,
            target.label,
            target.similarity(backbone, study, cache),
            size(images, study),
            images,
        )
        for seed in study.all_seeds  # seeds outermost: an unfinished study has every cell, at fewer seeds
        for target in made
        for (n, images), backbone, strategy in product(target.images.items(), backbones, strategies)
        for teacher in [_teacher(strategy, backbone, [*backbones, *teachers], path)]
        for train in [_resolved(study.train, chosen.get(backbone.label))]
        for spec in [RunSpec(target.spec, n, backbone, strategy, seed, train, teacher)]
    ]
    runs = _settings(base, study, strategies, path) if study.tune else base
    _refuse_duplicate_runs(runs, path)
    rule, baseline = _rule(study, strategies, path), _baseline(study, strategies, path)
    return Plan(
        study, path, cache, runs, made, strategies, backbones, teachers, left_out, rule, baseline, chosen
    )


def _resolved(train: TrainSpec, choice: Choice | None) -> TrainSpec:
    return replace(train, precision=choice.dtype) if choice else train


def _settings(
    base: list[PlannedRun], study: Study, strategies: list[StrategySpec], path: Path
) -> list[PlannedRun]:
    """Each run with its default hyperparameters, if the study wants that, and with the ones that a search will choose.

    A strategy without a hyperparameter to search is run once, under both settings.
    """
    tune = study.tune
    assert tune
    hyperparameters = (tune.search, tune.fix, tune.ranges)
    with located(path, "tune"):
        spaces.check(strategies, *hyperparameters)
        by_label = {s.label: spaces.space(s, *hyperparameters) for s in strategies}
    budget = Budget(*tune.budget)
    method = Method(
        tune.sampler, tune.sampler_options, tune.pruner, tune.pruner_options, tune.splits, tune.objective
    )
    found = []
    for run in base:
        space = by_label[run.spec.strategy.label]
        plain = final(run.spec, run.spec.strategy, tune.refit)
        default = replace(run, spec=plain, run_id=plain.run_id)
        if tune.untuned or not space:
            found.append(default)
        if not space:
            found.append(replace(default, setting="tuned"))
            continue
        first = run.spec if tune.each_seed else replace(run.spec, seed=study.all_seeds[0])
        search = Tuning(first, space, budget, method)
        waiting = f"{search.tuning_id}-{run.spec.seed}"
        found.append(replace(run, run_id=waiting, setting="tuned", tuning=search, waiting=True))
    return found


def size(images_per_class: int, study: Study) -> str:
    return "small" if images_per_class <= study.matrix.small_at_most else "large"


def _strategies(study: Study, path: Path) -> tuple[list[StrategySpec], dict[str, str]]:
    specs: list[StrategySpec] = []
    left_out: dict[str, str] = {}
    for i, entry in enumerate(study.strategies):
        hyperparameters = {
            name: {**study.hyperparameters.get(name, {}), **entry.hyperparameters.get(name, {})}
            for name in {*study.hyperparameters, *entry.hyperparameters}
        }
        with located(path, "strategies", i):
            if entry.use:
                specs.append(compose.parse(entry.use, hyperparameters, entry.label))
                compose.check_hyperparameter_table(entry.hyperparameters, specs[-1:])
                continue
            expressions = [" + ".join(parts) for parts in product(entry.freeze, entry.lr, entry.regularize)]
            expanded = dict(_expand(expressions, hyperparameters, left_out))
            if not expanded:
                raise UserError(f"no product of these axes makes sense: {'; '.join(left_out.values())}")
            specs += expanded.values()
            compose.check_hyperparameter_table(entry.hyperparameters, list(expanded.values()))
    with located(path, "hyperparameters"):
        compose.check_hyperparameter_table(study.hyperparameters, specs)
    return specs, left_out


def _expand(
    expressions: list[str], hyperparameters: compose.Hyperparameters, left_out: dict[str, str]
) -> Iterator[tuple[str, StrategySpec]]:
    """The meaningful products; the others are noted by name with the reason."""
    for expression in expressions:
        try:
            yield expression, compose.parse(expression, hyperparameters)
        except compose.Meaningless as error:
            left_out[error.label] = error.reason


def _backbone(entry: BackboneEntry, path: Path, section: str, i: int, cache: Path) -> BackboneSpec:
    return resolve(entry, path.parent, lambda field: located(path, section, i, field), cache)


def _teacher(
    strategy: StrategySpec, backbone: BackboneSpec, known: list[BackboneSpec], path: Path
) -> TeacherSpec | None:
    """Whom a strategy with a `teacher` hyperparameter learns from: the network of that label, or else its own
    backbone.

    The teacher is fully fine-tuned at the rate `teacher_lr`.
    """
    part = next((p for p in strategy.parts if "teacher" in p.hyperparameters), None)
    if part is None:
        return None
    by_label = {b.label: b for b in known}
    label = part.hyperparameters["teacher"] or backbone.label
    if label not in by_label:
        raise UserError(
            f"{path}: {part.name}.teacher: {label!r} is none of the study's backbones and teachers"
            f"{nearest(label, list(by_label))}"
        )
    return TeacherSpec(by_label[label], teaching(strategy))


def _refuse_too_many(runs_each: int, made: list[Target], path: Path) -> None:
    count = runs_each * sum(len(target.images) for target in made)
    if count > MAX_RUNS:
        raise UserError(f"{path}: {count:,} runs, more than {MAX_RUNS:,}; fewer seeds, sizes or strategies?")


def _refuse_unmeasurable(made: list[Target], backbones: list[BackboneSpec], path: Path) -> None:
    blind = [b.label for b in backbones if not b.source]
    for i, target in enumerate(made):
        if target.declared == "measured" and blind:
            raise UserError(
                f"{locate(path, 'datasets', i, 'similarity')}: to measure it takes the images that the backbone "
                f"was pretrained on, and those of {blind[0]} are unavailable; declare similar or dissimilar"
            )


def _rule(study: Study, strategies: list[StrategySpec], path: Path) -> dict[str, str | None]:
    labels = [s.label for s in strategies]
    for cell, label in study.matrix.rule.items():
        if label not in labels:
            where = locate(path, "matrix", "rule", cell)
            raise UserError(f"{where}: {label!r} is no strategy of this study{nearest(label, labels)}")
    rule = {cell: _plainest(strategies, name) for cell, name in TEXTBOOK.items()}
    rule.update(study.matrix.rule.items())
    return rule


def _baseline(study: Study, strategies: list[StrategySpec], path: Path) -> str | None:
    label, labels = study.matrix.baseline, [s.label for s in strategies]
    if label is not None and label not in labels:
        where = locate(path, "matrix", "baseline")
        raise UserError(f"{where}: {label!r} is no strategy of this study{nearest(label, labels)}")
    return label or _plainest(strategies, "full")


def _plainest(strategies: list[StrategySpec], freeze: str) -> str | None:
    """The label of the strategy with that freezing schedule and the least besides."""
    found = [s for s in strategies if s.freeze.name == freeze]
    plain = sorted(found, key=lambda s: (len(s.parts), s.label != compose.canonical_label(s)))
    return plain[0].label if plain else None


def _refuse_duplicates(labels: list[str], path: Path, section: str) -> None:
    for i, label in enumerate(labels):
        if label in labels[:i]:
            raise UserError(f"{path}: {section}: duplicate label {label!r}; give one of them another `label`")


def _refuse_duplicate_runs(runs: list[PlannedRun], path: Path) -> None:
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        other = seen.setdefault(run.run_id, run)
        if other is not run and other.setting == run.setting:
            a, b = (f"{r.dataset} / {r.spec.backbone.label} / {r.spec.strategy.label}" for r in (other, run))
            raise UserError(f"{path}: {a} and {b} are the same run under two names (seed {run.spec.seed})")
