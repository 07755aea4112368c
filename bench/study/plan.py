"""Study -> the runs it asks for, each checked as far as is possible without loading a network. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from bench import compose
from bench.backbones import names
from bench.data import registry
from bench.errors import UserError
from bench.schema import CELLS
from bench.spec import BackboneSpec, DatasetSpec, RunSpec, StrategySpec
from bench.study import load as loading
from bench.study.model import TEXTBOOK, BackboneEntry, DatasetEntry, Study


@dataclass(frozen=True)
class PlannedRun:
    """A run and where it stands in the matrix."""

    spec: RunSpec
    run_id: str
    dataset: str
    similarity: str
    size: str

    @property
    def cell(self) -> str:
        return f"{self.similarity}-{self.size}"

    def row(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "dataset": self.dataset,
            "similarity": self.similarity,
            "size": self.size,
            "cell": self.cell,
            "n_per_class": self.spec.n_per_class,
            "backbone": self.spec.backbone.label,
            "strategy": self.spec.strategy.label,
            "seed": self.spec.seed,
        }


@dataclass(frozen=True)
class Plan:
    """All runs of a study, in the order in which they are started."""

    study: Study
    path: Path
    runs: list[PlannedRun]
    datasets: dict[str, DatasetSpec]  # by label
    strategies: list[StrategySpec]
    backbones: list[BackboneSpec]
    left_out: dict[str, str]  # label -> why a product of axes was left out
    rule: dict[str, str | None]  # cell -> label of the strategy that the rule picks

    @property
    def base(self) -> Path:
        """What relative paths in the study refer to."""
        return self.path.parent

    def document(self) -> dict[str, Any]:
        """What is stored of a study, so that reports need nothing but the store."""
        study = self.study
        return {
            "name": study.name,
            "question": study.question,
            "matrix": {
                "small_at_most": study.matrix.small_at_most,
                "margin": study.matrix.margin,
                "rule": self.rule,
            },
            "datasets": [{**d.model_dump(), "label": dataset_label(d), "notes": []} for d in study.datasets],
            "backbones": [{**asdict(b), "notes": []} for b in self.backbones],
            "strategies": [asdict(s) for s in self.strategies],
            "left_out": [{"label": label, "reason": reason} for label, reason in self.left_out.items()],
            "seeds": study.seeds,
            "train": asdict(study.train),
            "plan": [run.row() for run in self.runs],
        }


def make(study: Study, path: Path) -> Plan:
    """Expand and check. Raises `UserError`, with the place in the file, for whatever cannot work."""
    strategies, left_out = _strategies(study, path)
    datasets = [_dataset(d, study, path, i) for i, d in enumerate(study.datasets)]
    backbones = [_backbone(b, path, i) for i, b in enumerate(study.backbones)]
    _refuse_twins([dataset_label(d) for d in study.datasets], path, "datasets")
    _refuse_twins([b.label for b in backbones], path, "backbones")
    _refuse_twins([s.label for s in strategies], path, "strategies")
    runs = [
        PlannedRun(spec, spec.run_id, dataset_label(entry), entry.similarity, size(n, study))
        for seed in study.seeds  # seeds outermost: an unfinished study has every cell, at fewer seeds
        for entry, dataset in zip(study.datasets, datasets, strict=True)
        for n, backbone, strategy in product(entry.n_per_class, backbones, strategies)
        for spec in [RunSpec(dataset, n, backbone, strategy, seed, study.train)]
    ]
    _refuse_doubles(runs, path)
    by_label = {dataset_label(entry): spec for entry, spec in zip(study.datasets, datasets, strict=True)}
    return Plan(study, path, runs, by_label, strategies, backbones, left_out, _rule(study, strategies, path))


def size(n_per_class: int, study: Study) -> str:
    return "small" if n_per_class <= study.matrix.small_at_most else "large"


def dataset_label(entry: DatasetEntry) -> str:
    """The label, or a short one made from the name: the folder's for folder:PATH, options in brackets."""
    if entry.label:
        return entry.label
    short = Path(entry.name.removeprefix("folder:")).name if entry.name.startswith("folder:") else entry.name
    options = ",".join(f"{k}={v}" for k, v in entry.options.items())
    return f"{short}({options})" if options else short


def _strategies(study: Study, path: Path) -> tuple[list[StrategySpec], dict[str, str]]:
    specs: list[StrategySpec] = []
    left_out: dict[str, str] = {}
    for i, entry in enumerate(study.strategies):
        knobs = {
            name: {**study.knobs.get(name, {}), **entry.knobs.get(name, {})}
            for name in {*study.knobs, *entry.knobs}
        }
        with _located(path, "strategies", i):
            if entry.use:
                specs.append(compose.parse(entry.use, knobs, entry.label))
                compose.check_knob_table(entry.knobs, specs[-1:])
                continue
            expressions = [" + ".join(parts) for parts in product(entry.freeze, entry.lr, entry.regularize)]
            expanded = dict(_expand(expressions, knobs, left_out))
            if not expanded:
                raise UserError(f"no product of these axes makes sense: {'; '.join(left_out.values())}")
            specs += expanded.values()
            compose.check_knob_table(entry.knobs, list(expanded.values()))
    with _located(path, "knobs"):
        compose.check_knob_table(study.knobs, specs)
    return specs, left_out


def _expand(
    expressions: list[str], knobs: compose.Knobs, left_out: dict[str, str]
) -> Iterator[tuple[str, StrategySpec]]:
    """The meaningful products; the others are noted by name with the reason."""
    for expression in expressions:
        try:
            yield expression, compose.parse(expression, knobs)
        except compose.Meaningless as error:
            left_out[error.label] = error.reason


def _dataset(entry: DatasetEntry, study: Study, path: Path, i: int) -> DatasetSpec:
    spec = DatasetSpec(entry.name, entry.options)
    with _located(path, "datasets", i, "name"):
        info = registry.inspect(spec, path.parent)
    for j, n in enumerate(entry.n_per_class):
        with _located(path, "datasets", i, "n_per_class", j):
            if int(n * study.train.val_share + 1e-9) < 1:
                raise UserError(
                    f"{n} images per class leave none for validation at val_share {study.train.val_share}; "
                    f"use at least {-(-1 // study.train.val_share):.0f}"
                )
            if info.pool_counts and n > min(info.pool_counts):
                k = info.pool_counts.index(min(info.pool_counts))
                name = info.classes[k] if info.classes else k
                raise UserError(
                    f"{n} images per class, but class {name!r} has only {info.pool_counts[k]} to train on"
                )
    return spec


def _backbone(entry: BackboneEntry, path: Path, i: int) -> BackboneSpec:
    with _located(path, "backbones", i, "name"):
        names.check(entry.name)
    source = DatasetSpec(entry.source.name, entry.source.options) if entry.source else None
    if source:
        with _located(path, "backbones", i, "source"):
            registry.inspect(source, path.parent)
    if entry.checkpoint and not (path.parent / entry.checkpoint).is_file():
        raise UserError(
            f"{loading.locate(path, 'backbones', i, 'checkpoint')}: no such file: {path.parent / entry.checkpoint}"
        )
    return BackboneSpec(
        entry.name, entry.weights, entry.checkpoint, entry.rename, source, entry.source_train,
        entry.kwargs, entry.data_config, entry.label or entry.name,
    )  # fmt: skip


def _rule(study: Study, strategies: list[StrategySpec], path: Path) -> dict[str, str | None]:
    labels = [s.label for s in strategies]
    for cell, label in study.matrix.rule.items():
        if label not in labels:
            where = loading.locate(path, "matrix", "rule", cell)
            raise UserError(
                f"{where}: {label!r} is no strategy of this study{loading.nearest(label, labels)}"
            )
    first = {
        cell: next((s.label for s in strategies if s.freeze.name == name), None)
        for cell, name in TEXTBOOK.items()
    }
    return {cell: study.matrix.rule.get(cell, first[cell]) for cell in CELLS}


def _refuse_twins(labels: list[str], path: Path, section: str) -> None:
    for i, label in enumerate(labels):
        if label in labels[:i]:
            raise UserError(f"{path}: {section}: {label!r} stands twice; give one of them another `label`")


def _refuse_doubles(runs: list[PlannedRun], path: Path) -> None:
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        twin = seen.setdefault(run.run_id, run)
        if twin is not run:
            a, b = (f"{r.dataset} / {r.spec.backbone.label} / {r.spec.strategy.label}" for r in (twin, run))
            raise UserError(f"{path}: {a} and {b} are the same run under two names (seed {run.spec.seed})")


class _located:
    """Prefixes a `UserError` with the place in the study file."""

    def __init__(self, path: Path, *loc: str | int) -> None:
        self.path, self.loc = path, loc

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise UserError(f"{loading.locate(self.path, *self.loc)}: {error}") from None
