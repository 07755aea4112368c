"""What must be there and hold before the first run: strategies checked, data decoded, sources pretrained, steps timed.

Wrong input ends it, all of it named at once. What crashes concerns the runs that need it (`bench.execution.failures`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from bench.core.errors import UserError, all_of, last_line
from bench.core.jobs import Ended, Executor, Job
from bench.core.records.study import DatasetRecord, StudyRecord
from bench.core.spec import BackboneSpec, RunSpec, content_hash
from bench.data.summary import Summary
from bench.execution.display import Display
from bench.execution.failures import Checked, Failures
from bench.planning import precision
from bench.planning.plan import Plan
from bench.planning.precision import Key, Timing
from bench.planning.study import DatasetEntry
from bench.planning.targets import UNMEASURED, Target
from bench.storage.places import Places


@dataclass
class Remarks:
    """What preparation found that a reader of the report should know, by label."""

    datasets: dict[str, list[str]] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    backbones: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: StudyRecord | None, plan: Plan) -> Remarks | None:
        """Those that a stored study holds; None where it says nothing of a dataset or a backbone of the plan.

        It may be of an earlier form of the study, and there is none where its MLflow run was deleted.
        """
        if not stored:
            return None
        of_datasets = {_identity(each): each for each in stored.datasets}
        of_backbones = {_identity(each): each.notes for each in stored.backbones}
        found = cls()
        for entry, target in zip(plan.study.datasets, plan.targets, strict=True):
            before = of_datasets.get(_identity(entry))
            if before is None or before.notes is None:
                return None
            found.datasets[target.label] = list(before.notes)
            found.classes[target.label] = list(before.classes)
        for backbone in plan.backbones:
            if (notes := of_backbones.get(_identity(backbone))) is None:
                return None
            found.backbones[backbone.label] = list(notes)
        return found

    def entered(self, study: StudyRecord) -> StudyRecord:
        """The study with these remarks."""
        notes, classes = self.datasets, self.classes
        datasets = (
            replace(d, notes=tuple(notes.get(d.label, [])), classes=tuple(classes.get(d.label, [])))
            for d in study.datasets
        )
        backbones = (replace(b, notes=tuple(self.backbones.get(b.label, []))) for b in study.backbones)
        return replace(study, datasets=tuple(datasets), backbones=tuple(backbones))


def _identity(entry: DatasetEntry | DatasetRecord | BackboneSpec) -> str:
    """Equal for the same dataset or backbone, stored or planned, by what remarks depend on. No label is part of it."""
    if isinstance(entry, BackboneSpec):
        decisive = {f.name: getattr(entry, f.name) for f in fields(BackboneSpec) if f.name != "label"}
        return content_hash(decisive | {"source": entry.source and asdict(entry.source)})
    return content_hash([entry.name, entry.options])


Jobs = list[tuple[Job, dict[str, str]]]
"""Jobs with the labels of what each is about: what fails with it."""


def prepare(plan: Plan, places: Places, executor: Executor, display: Display) -> tuple[Remarks, Failures]:
    """Raises `UserError` for anything that would make a run fail: nothing has been trained or logged by then."""
    failures = Failures()

    def results(title: str, jobs: Jobs) -> dict[str, Any]:
        return _all(title, jobs, executor, display, failures)

    # first what takes seconds and writes nothing, on untrained networks where the weights are not made yet
    checking = "checking networks and strategies"
    expected = {target.classes or 2 for target in plan.targets}
    tables = results(checking, _checks(plan, expected, places, failures, untrained))
    data = results("preparing images", [*_data_jobs(plan, places, failures), *_source_data(plan, places)])
    done: dict[str, Summary] = {t.label: data[t.label] for t in plan.targets if t.label in data}
    _check_sizes(plan, done)
    sources = results("pretraining", _source_jobs(plan, places, failures))
    classes = {summary.num_classes for summary in done.values()}
    results("measuring similarity", _measurements(plan, places, failures))
    rest = [(job, of) for job, of in _checks(plan, classes, places, failures) if job.key not in tables]
    tables |= results(checking, rest)
    loaded: dict[str, Checked] = {}
    for backbone in plan.backbones:
        loaded[backbone.label] = tables.get(f"check:{backbone.label}:{min(classes, default=0)}", Checked())
        if loaded[backbone.label].table:
            display.say(f"{backbone.label}: {loaded[backbone.label].table}")
    said = results("reading what checkpoints say of themselves", _remark_jobs(plan, places, failures))
    for label, texts in said.items():
        for text in texts:
            display.say(f"{label}: {text}")
    _time(plan, places, executor, display, failures)
    for line in failures.lines():
        display.say(f"its runs cannot be executed: {line}")
    return Remarks(
        {t.label: _remarks(t, done[t.label]) for t in plan.targets if t.label in done},
        {label: summary.classes for label, summary in done.items()},
        {
            label: [*filter(None, [sources.get(label)]), *checked.notes, *said.get(label, [])]
            for label, checked in loaded.items()
        },
    ), failures


def _remarks(target: Target, found: Summary) -> list[str]:
    """Of a dataset that could not be counted beforehand also what there is of it."""
    if target.info.classes:
        return found.notes
    counted = (
        f"{found.num_classes} classes, the smallest of {found.smallest_class} images to train and validate on"
    )
    return [counted, *found.notes]


def ready(executor: Executor, display: Display) -> None:
    """Wait until a worker has imported what jobs need."""
    for event in executor.run([Job("ready", "bench.execution.worker:ready", (), "a worker")]):
        display.event(event)
        if isinstance(event, Ended) and event.crash:
            raise RuntimeError(f"no worker starts:\n{event.crash}")


def make_data(plan: Plan, places: Places, executor: Executor, display: Display) -> Failures:
    """Images decoded and sources pretrained, for what is measured apart from runs. Raises `UserError` like `prepare`."""
    failures = Failures()
    jobs = [*_data_jobs(plan, places, failures), *_source_data(plan, places)]
    _all("preparing images", jobs, executor, display, failures)
    _all("pretraining", _source_jobs(plan, places, failures), executor, display, failures)
    return failures


def _check_sizes(plan: Plan, done: dict[str, Summary]) -> None:
    """The images that are left once duplicates are excluded must still be enough."""
    wrong = []
    for target in plan.targets:
        if target.label not in done:
            continue
        wanted = max((n for n in target.images if n != "all"), default=0)
        smallest = done[target.label].smallest_class
        if wanted > smallest:
            wrong.append(
                f"{target.label}: {wanted} images per class, but the smallest class has {smallest} to train on "
                f"({'; '.join(done[target.label].notes)})"
            )
    if wrong:
        raise UserError(all_of(wrong))


def _of_sources(plan: Plan) -> list[BackboneSpec]:
    return [b for b in (*plan.backbones, *plan.teachers) if b.source]


def _source_data(plan: Plan, places: Places) -> Jobs:
    """The images that sources are pretrained on: what is wrong with them is told before that."""
    args = (plan.study.train, places)
    return [
        (
            Job(f"source:{b.label}", "bench.execution.worker:prepare_source", (b, *args), _source_label(b)),
            _about(b),
        )
        for b in _of_sources(plan)
    ]


def _remark_jobs(plan: Plan, places: Places, failures: Failures) -> Jobs:
    size = plan.study.train.image_size
    return [
        (Job(b.label, "bench.execution.worker:remarks", (b, size, places), b.label), _about(b))
        for b in (*plan.backbones, *plan.teachers)
        if b.checkpoint and not failures.at(**_about(b))
    ]


def _source_jobs(plan: Plan, places: Places, failures: Failures) -> Jobs:
    args = (plan.study.train, places)
    return [
        (Job(b.label, "bench.execution.worker:pretrain_source", (b, *args), _source_label(b)), _about(b))
        for b in _of_sources(plan)
        if not failures.at(**_about(b))
    ]


def _source_label(backbone: BackboneSpec) -> str:
    assert backbone.source
    return f"{backbone.label} on {backbone.source.name}"


def _about(backbone: BackboneSpec) -> dict[str, str]:
    return {"backbone": backbone.label}


def _data_jobs(plan: Plan, places: Places, failures: Failures) -> Jobs:
    able = [b for b in plan.backbones if not failures.at(**_about(b))]
    return [
        (
            Job(t.label, "bench.execution.worker:prepare", (t.spec, able, plan.study.train, places), t.label),
            {"dataset": t.label},
        )
        for t in plan.targets
        if able
    ]


def _measurements(plan: Plan, places: Places, failures: Failures) -> Jobs:
    able, _ = failures.split(r for r in plan.runs if r.similarity == UNMEASURED)
    pairs = {(r.dataset, r.spec.backbone.label): r.spec for r in able}
    return [
        (
            Job(
                f"{dataset}:{backbone}",
                "bench.execution.worker:measure",
                (spec, places),
                f"{dataset} on {backbone}",
            ),
            {"dataset": dataset, "backbone": backbone},
        )
        for (dataset, backbone), spec in pairs.items()
    ]


def _time(plan: Plan, places: Places, executor: Executor, display: Display, failures: Failures) -> None:
    """Where timing crashes, fp32 is the choice for good: runs that are done must not lose their worth by a later one."""
    undecided = {b.label: b for b in plan.undecided if not failures.at(**_about(b))}
    keys = {label: Key.of(b, plan.study.train) for label, b in undecided.items()}
    jobs: Jobs = [
        (Job(label, "bench.execution.worker:time_precision", (keys[label], b, places), label), _about(b))
        for label, b in undecided.items()
    ]
    crashes = Failures()
    timings = _all("timing fp32 and bf16", jobs, executor, display, crashes)
    for label, key in keys.items():
        if failure := crashes.at(backbone=label):
            timings[label] = Timing(0.0, None, 0, last_line(failure.crash))
            precision.write(key, timings[label], key.path(places.cache))
        display.say(f"{label}: precision {timings[label].choice()}")


def untrained(spec: RunSpec) -> RunSpec:
    """The run on networks whose weights need no pretraining here."""
    teacher = spec.teacher and replace(spec.teacher, backbone=_untrained(spec.teacher.backbone))
    return replace(spec, backbone=_untrained(spec.backbone), teacher=teacher)


def _untrained(backbone: BackboneSpec) -> BackboneSpec:
    return replace(backbone, weights="random", source=None) if backbone.source else backbone


def _checks(
    plan: Plan,
    classes: set[int],
    places: Places,
    failures: Failures,
    on: Callable[[RunSpec], RunSpec] = lambda spec: spec,
) -> Jobs:
    """A job for each backbone and number of classes. on: changes the runs; the key tells whether it did."""
    jobs: Jobs = []
    for backbone in plan.backbones:
        able, _ = failures.split(r for r in plan.runs if r.spec.backbone == backbone)
        runs = sorted(able, key=lambda r: r.images_per_class)
        # of each strategy the run with the fewest epochs
        specs = list({r.spec.strategy.label: r.spec for r in runs}.values())
        changed = [on(spec) for spec in specs]
        stand_in = changed != specs
        kind = "first check" if stand_in else "check"
        for k in sorted(classes) if specs else []:
            key, label = f"{kind}:{backbone.label}:{k}", f"{backbone.label}, {k} classes"
            jobs.append(
                (
                    Job(key, "bench.execution.worker:check", (changed, k, places, stand_in), label),
                    _about(backbone),
                )
            )
    return jobs


def _all(title: str, jobs: Jobs, executor: Executor, display: Display, failures: Failures) -> dict[str, Any]:
    """Results by key, of jobs that came to one; the crashes of the others are added to `failures`.

    Raises `UserError` with all that is wrong.
    """
    results: dict[str, Any] = {}
    wrong: list[str] = []
    about = {job.key: of for job, of in jobs}
    if not jobs:
        return results
    with display.progress(title, len(jobs)):
        for event in executor.run([job for job, _ in jobs]):
            display.event(event)
            if not isinstance(event, Ended):
                continue
            of = about[event.job.key]
            if event.user_error:
                wrong.append(event.user_error)
            elif event.crash:
                failures.add(title, event.crash, **of)
            else:
                results[event.job.key] = event.result
                if isinstance(event.result, Checked):
                    for strategy, crash in event.result.crashed.items():
                        failures.add(title, crash, strategy=strategy, **of)
        if wrong:
            raise UserError(all_of(wrong))
    return results
