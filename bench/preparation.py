"""What must be there and hold before the first run: data decoded, sources pretrained, strategies checked, steps timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bench.data.summary import Summary
from bench.errors import UserError
from bench.executors.base import Ended, Executor, Job
from bench.numerics import Key
from bench.places import Places
from bench.spec import BackboneSpec, RunSpec
from bench.study.plan import Plan
from bench.study.targets import UNMEASURED, Target
from bench.view import View


@dataclass
class Remarks:
    """What preparation found that a reader of the report should know, by label."""

    datasets: dict[str, list[str]] = field(default_factory=dict)
    backbones: dict[str, list[str]] = field(default_factory=dict)
    measures: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict
    )  # of datasets, see `measures` below

    @classmethod
    def of(cls, document: dict[str, Any]) -> Remarks:
        """Those that a stored document holds."""
        datasets, backbones = (
            {e["label"]: e["notes"] for e in document[s]} for s in ("datasets", "backbones")
        )
        return cls(datasets, backbones, {e["label"]: e.get("measures", []) for e in document["datasets"]})

    def enter(self, document: dict[str, Any]) -> None:
        """Write the remarks into a study document."""
        for section, notes in (("datasets", self.datasets), ("backbones", self.backbones)):
            for entry in document[section]:
                entry["notes"] = notes.get(entry["label"], [])
        for entry in document["datasets"]:
            entry["measures"] = self.measures.get(entry["label"], [])


def prepare(plan: Plan, places: Places, executor: Executor, view: View) -> Remarks:
    """Raises `UserError` for anything that would make a run fail: nothing has been trained or logged by then."""
    # first what takes seconds and writes nothing, on untrained networks where the weights are not made yet
    expected = {target.classes or 2 for target in plan.targets}
    tables = _all(_checks(plan, expected, places, untrained), "checking", executor, view)
    sources = _all(_source_jobs(plan, places), "pretraining", executor, view)
    done = _all(_data_jobs(plan, places), "preparing data", executor, view)
    _check_sizes(plan, done)
    classes = {done[target.label].num_classes for target in plan.targets}
    _all(_measurements(plan, places), "measuring similarity", executor, view)
    rest = [job for job in _checks(plan, classes, places) if job.key not in tables]
    tables |= _all(rest, "checking", executor, view)
    loaded = {b.label: tables[f"check:{b.label}:{min(classes)}"] for b in plan.backbones}
    for label, report in loaded.items():
        if report.source:
            view.say(f"{label}: {report.table()}")
    said = _all(_remark_jobs(plan, places), "reading what checkpoints say of themselves", executor, view)
    for label, texts in said.items():
        for text in texts:
            view.say(f"{label}: {text}")
    timings = _all(_timing_jobs(plan, places), "timing fp32 and bf16", executor, view)
    for label, timing in timings.items():
        view.say(f"{label}: numerics {timing.choice()}")
    return Remarks(
        {target.label: _remarks(target, done[target.label]) for target in plan.targets},
        {
            label: [*filter(None, [sources.get(label)]), *report.notes(), *said.get(label, [])]
            for label, report in loaded.items()
        },
        _measures(plan, places, executor, view),
    )


def _remarks(target: Target, found: Summary) -> list[str]:
    """Of a dataset that could not be counted beforehand also what there is of it."""
    if target.info.classes:
        return found.notes
    counted = (
        f"{found.num_classes} classes, the smallest of {found.smallest_class} images to train and validate on"
    )
    return [counted, *found.notes]


def measures(plan: Plan, places: Places, executor: Executor, view: View) -> dict[str, list[dict[str, Any]]]:
    """Every measure of transferability, apart from a run: by dataset, an entry per backbone and size.

    Raises `UserError` like `prepare`.
    """
    _all(_source_jobs(plan, places), "pretraining", executor, view)
    _all(_data_jobs(plan, places), "preparing data", executor, view)
    return _measures(plan, places, executor, view)


def _measures(plan: Plan, places: Places, executor: Executor, view: View) -> dict[str, list[dict[str, Any]]]:
    rest = (plan.study.seeds[0], plan.study.train.image_size, places)
    jobs = {
        (target.label, backbone.label): Job(
            f"measures:{target.label}:{backbone.label}",
            "bench.worker:measure_all",
            (target.spec, target.images, backbone, *rest),
            f"{target.label} on {backbone.label}",
        )
        for target in plan.targets
        for backbone in plan.backbones
    }
    done = _all(list(jobs.values()), "measuring transferability", executor, view)
    found: dict[str, list[dict[str, Any]]] = {}
    for (dataset, _), job in jobs.items():
        found.setdefault(dataset, []).extend(done[job.key])
    return found


def _check_sizes(plan: Plan, done: dict[str, Summary]) -> None:
    """The images that are left once duplicates are excluded must still be enough."""
    for target in plan.targets:
        wanted = max((n for n in target.images if n != "all"), default=0)
        smallest = done[target.label].smallest_class
        if wanted > smallest:
            raise UserError(
                f"{target.label}: {wanted} images per class, but the smallest class has {smallest} to train on "
                f"({'; '.join(done[target.label].notes)})"
            )


def _source_jobs(plan: Plan, places: Places) -> list[Job]:
    return [
        Job(
            b.label,
            "bench.worker:pretrain_source",
            (b, plan.study.train, places),
            f"{b.label} on {b.source.name}",
        )
        for b in (*plan.backbones, *plan.teachers)
        if b.source
    ]


def _remark_jobs(plan: Plan, places: Places) -> list[Job]:
    size = plan.study.train.image_size
    return [
        Job(b.label, "bench.worker:remarks", (b, size, places), b.label)
        for b in (*plan.backbones, *plan.teachers)
        if b.checkpoint
    ]


def _data_jobs(plan: Plan, places: Places) -> list[Job]:
    args = (plan.backbones, plan.study.train, places)
    return [Job(t.label, "bench.worker:prepare", (t.spec, *args), t.label) for t in plan.targets]


def _measurements(plan: Plan, places: Places) -> list[Job]:
    pairs = {(r.dataset, r.spec.backbone.label): r.spec for r in plan.runs if r.similarity == UNMEASURED}
    return [
        Job(f"{dataset}:{backbone}", "bench.worker:measure", (spec, places), f"{dataset} on {backbone}")
        for (dataset, backbone), spec in pairs.items()
    ]


def _timing_jobs(plan: Plan, places: Places) -> list[Job]:
    return [
        Job(b.label, "bench.worker:time_numerics", (Key.of(b, plan.study.train), b, places), b.label)
        for b in plan.undecided
    ]


def untrained(spec: RunSpec) -> RunSpec:
    """The run on networks whose weights need no pretraining here."""
    teacher = spec.teacher and replace(spec.teacher, backbone=_untrained(spec.teacher.backbone))
    return replace(spec, backbone=_untrained(spec.backbone), teacher=teacher)


def _untrained(backbone: BackboneSpec) -> BackboneSpec:
    return replace(backbone, weights="random", source=None) if backbone.source else backbone


def _checks(
    plan: Plan, classes: set[int], places: Places, on: Callable[[RunSpec], RunSpec] = lambda spec: spec
) -> list[Job]:
    """A job for each backbone and number of classes. on: changes the runs; the key tells whether it did."""
    jobs = []
    for backbone in plan.backbones:
        runs = sorted((r for r in plan.runs if r.spec.backbone == backbone), key=lambda r: r.images_per_class)
        # of each strategy the run with the fewest epochs
        specs = list({r.spec.strategy.label: r.spec for r in runs}.values())
        changed = [on(spec) for spec in specs]
        stand_in = changed != specs
        kind = "first check" if stand_in else "check"
        for k in classes:
            jobs.append(
                Job(
                    f"{kind}:{backbone.label}:{k}",
                    "bench.worker:check",
                    (changed, k, places, stand_in),
                    f"{backbone.label}, {k} classes",
                )
            )
    return jobs


def _all(jobs: list[Job], title: str, executor: Executor, view: View) -> dict[str, Any]:
    """Results by key. The first user error or crash ends it."""
    results: dict[str, Any] = {}
    if not jobs:
        return results
    with view.progress(title, len(jobs)):
        for event in executor.run(jobs):
            view.event(event)
            if isinstance(event, Ended):
                if event.user_error:
                    raise UserError(event.user_error)
                if event.crash:
                    raise RuntimeError(f"{title} {event.job.label} failed:\n{event.crash}")
                results[event.job.key] = event.result
    return results
