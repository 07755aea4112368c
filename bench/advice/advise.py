"""`bench advise`: where a folder of images lies, what the store's evidence favours there, and what the rule says.

Measures here, weighs in `reports.analysis.advice`. Torch is imported once the folder and the backbone have been checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from bench.advice.gathering import Evidence
from bench.advice.text import GROUPS
from bench.core.errors import UserError
from bench.core.records.measures import MeasuresRecord
from bench.core.schema import Measure
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data import registry
from bench.planning.backbones import resolve
from bench.planning.load import set_field
from bench.planning.study import TEXTBOOK, BackboneEntry, Matrix
from bench.storage.places import Places
from reports.analysis import advice, leave_one_out
from reports.analysis import evidence as known
from reports.analysis.dataset_intervals import LEAST
from reports.analysis.evidence import Place
from reports.analysis.forgiving import STEP

SHOTS = (2, 5, 10, 20, 50, 100, 200, 500)
"""Images per class at which probes are taken, as far as the classes go."""

DRAWS, SECONDS = 3, 60.0
"""Draws of the labelled images; no further one is begun after so many seconds."""


@dataclass(frozen=True)
class Question:
    """What is to be advised on. n_per_class: "all" or a number; similar: as declared by the user, or None.

    options: of the folder, as in a study's dataset.
    """

    folder: Path
    backbone: BackboneSpec
    n_per_class: Any = "all"
    similar: bool | None = None
    image_size: int | None = None
    probe: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_OF_IMAGES = "datasets.0."
"""What begins so in `--set` is said of the images, as a study of one dataset would say it."""


def divided(sets: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What `--set` says of the backbone, and the options of the images. Raises UserError for what it cannot say."""
    images: dict[str, Any] = {}
    for override in (s for s in sets if s.startswith(_OF_IMAGES)):
        if not override.startswith(f"{_OF_IMAGES}options."):
            raise UserError(
                f"--set {override}: of the images, only {_OF_IMAGES}options.NAME=VALUE can be set"
            )
        set_field(images, override.removeprefix(_OF_IMAGES))
    return [s for s in sets if not s.startswith(_OF_IMAGES)], images.get("options", {})


@contextmanager
def _options_explained() -> Iterator[None]:
    """Messages on images name the options of a study."""
    try:
        yield
    except UserError as error:
        if "options: {" not in str(error):
            raise
        raise UserError(f"{error}\nHere, options are given as --set {_OF_IMAGES}options.NAME=VALUE") from None


def backbone(content: Mapping[str, Any], sets: Sequence[str], base: Path) -> BackboneSpec:
    """A backbone entry as a study has it, from options and `dotted.key=value`. Raises UserError as planning does."""
    from pydantic import ValidationError

    data = dict(content)
    for override in sets:
        set_field(data, override)
    try:
        entry = BackboneEntry.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"--backbone: {where + ': ' if where else ''}{message}") from None
    return resolve(entry, base, _option)


@contextmanager
def _option(field: str) -> Iterator[None]:
    """Errors name the option that gave the field."""
    try:
        yield
    except UserError as error:
        raise UserError(f"--{'backbone' if field == 'name' else field}: {error}") from None


def ask(
    question: Question, evidence: Evidence, base: Path, cache: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything there is to say, as plain data; `bench.advice.text` puts it into words.

    Raises UserError for a folder, a backbone or a number of images that cannot work.
    """
    name = f"folder:{question.folder.expanduser().absolute()}"
    with _options_explained():
        dataset, info = registry.identified(name, dict(question.options), base, cache)
    key = known.backbone_key(question.backbone)
    size = question.image_size or evidence.image_sizes.get(key)
    say(f"measuring {sum(info.pool_counts or [])} images with {question.backbone.label}")
    with _options_explained():
        data, place, measured, probes = _look(question, dataset, size, evidence, Places(base, cache), key)
    data["notes"] = [*info.notes, *data["notes"]]
    foreign = bool(evidence.conditions) and key not in {c.place.backbone for c in evidence.conditions}
    trials, by_probe = _learn(evidence, bool(place.curve), foreign)
    tried, elsewhere = trials, foreign and not trials
    if elsewhere:  # the evidence is of one network: how good advice is on that is all that is known
        tried, by_probe = _learn(evidence, bool(place.curve))
    found = None
    if evidence.reference:
        found = advice.advise(place, evidence.conditions, evidence.reference, by_probe)
    return {
        "data": {"path": str(question.folder), **data},
        "backbone": {
            "name": question.backbone.name,
            "identity": key,
            "image_size": size,
            "foreign": foreign,
        },
        "measures": measured.values,
        "missing": measured.missing,
        "probes": probes,
        "rule": _rule(place, evidence, found),
        "evidence": _summary(evidence, found, question.folder),
        **_judged(found, trials, tried),
        "tried_elsewhere": elsewhere,
        "forgiving": _forgiving(evidence, found),
    }


def _look(
    question: Question, dataset: DatasetSpec, size: int | None, evidence: Evidence, places: Places, key: str
) -> tuple[dict[str, Any], Place, MeasuresRecord, list[dict[str, Any]]]:
    """The folder in numbers, its place, its measures, and its probes (none unless asked for)."""
    from bench.training.run.ingredients import prepare_dataset  # torch

    prepared = prepare_dataset(dataset, question.backbone, size, places)
    counts = [int(n) for n in prepared.pool.class_counts(len(prepared.classes))]
    n = round(fmean(counts)) if question.n_per_class == "all" else question.n_per_class
    sizes = {question.n_per_class: n}
    if question.probe:
        wanted = {*SHOTS, *(int(c.place.n_per_class) for c in evidence.conditions)}
        sizes = {shots: shots for shots in sorted(wanted) if shots < min(n, min(counts))} | sizes
    draws = _draws(question, dataset, sizes, size, places)
    own = next(entry for entry in draws[0] if entry.n_per_class == n)
    probes = _means(draws) if question.probe else []
    curve = {probe["n_per_class"]: probe["values"] for probe in probes}
    values = curve.get(n, own.values)
    distance = values.get(Measure.FRECHET_STEM)
    similar = question.similar
    if similar is None and distance is not None:
        similar = distance <= Matrix().similar_at_most
    data = {
        "classes": len(counts),
        "images": sum(counts),
        "smallest_class": min(counts),
        "median_class": median(counts),
        "n_per_class": n,
        "notes": prepared.notes,
    }
    place = Place(key, n, len(counts), values, similar, curve, own.images)
    return data, place, replace(own, values=values), probes


def _draws(
    question: Question, dataset: DatasetSpec, sizes: dict[Any, int], size: int | None, places: Places
) -> list[list[MeasuresRecord]]:
    from bench.similarity.measure import measure_dataset

    start = time.monotonic()
    draws: list[list[MeasuresRecord]] = []
    for seed in range(DRAWS if question.probe else 1):
        if not draws or time.monotonic() - start < SECONDS:
            draws.append(measure_dataset(dataset, sizes, question.backbone, seed, size, places))
    return draws


def _means(draws: list[list[MeasuresRecord]]) -> list[dict[str, Any]]:
    """Per number of images: the measures' means over draws, and the spread of the linear probe's accuracy."""
    found = []
    for entries in zip(*draws, strict=True):
        shared = set.intersection(*(set(e.values) for e in entries))
        values = {name: fmean(e.values[name] for e in entries) for name in sorted(shared)}
        probe = [e.values[Measure.PROBE] for e in entries if Measure.PROBE in e.values]
        spread = stdev(probe) if len(probe) > 1 else None
        n = entries[0].n_per_class
        found.append({"n_per_class": n, "draws": len(entries), "values": values, "probe_sd": spread})
    return found


def _rule(place: Place, evidence: Evidence, found: advice.Advice | None) -> dict[str, Any]:
    """The textbook's cell and pick, as the nearest study has them; both cells of a column where nobody knows which."""
    nearest = found.neighbours[0].condition if found else None
    limit = nearest.small_at_most if nearest else Matrix().small_at_most
    table = nearest.rules if nearest else TEXTBOOK
    size = "small" if place.n_per_class <= limit else "large"
    rows = {True: ["similar"], False: ["dissimilar"], None: ["similar", "dissimilar"]}[place.similar]
    return {
        "size": size,
        "small_at_most": limit,
        "similarity": rows[0] if len(rows) == 1 else None,
        "picks": {f"{row}-{size}": table.get(f"{row}-{size}") for row in rows},
        "from": nearest.study if nearest else "textbook",
    }


def _summary(evidence: Evidence, found: advice.Advice | None, folder: Path) -> dict[str, Any]:
    key = known.dataset_key(f"folder:{folder.expanduser().absolute()}", {})
    return {
        "conditions": len(evidence.conditions),
        "datasets": len({c.dataset for c in evidence.conditions}),
        "studies": sorted({c.study for c in evidence.conditions}),
        "runs": sum(c.runs for c in evidence.conditions),
        "notes": evidence.notes,
        "distance_by": [GROUPS[group] for group in found.used] if found else [],
        "nearest": [
            {
                "study": n.condition.study,
                "dataset": n.condition.label,
                "n_per_class": n.condition.place.n_per_class,
                "backbone": n.condition.place.backbone,
                "distance": n.distance,
                "weight": n.weight,
                "runs": n.condition.runs,
                "own": n.condition.dataset == key,
            }
            for n in (found.neighbours if found else [])
        ],
    }


def _forgiving(evidence: Evidence, found: advice.Advice | None) -> dict[str, Any] | None:
    """Of the advised strategy: what is lost where its learning rates are off by a step."""
    name = found.ranked[0].strategy if found else None
    one = next((f for f in evidence.forgiving if f.strategy == name), None)
    if one is None:
        return None
    return {"step": 10**STEP, "below": one.beside(-1), "above": one.beside(1), "searches": one.searches}


def _judged(
    found: advice.Advice | None,
    trials: Sequence[leave_one_out.HeldOut],
    tried: Sequence[leave_one_out.HeldOut],
) -> dict[str, Any]:
    """The strategies in order, and how the advice fared on datasets that it had not seen.

    trials: as far from the evidence as what is asked, for the range; tried: what there is, perhaps on other networks only.
    """
    margin = leave_one_out.error_margin(trials) if found else None
    return {
        "reference": found.reference if found else None,
        "strategies": [asdict(ranked) for ranked in found.ranked] if found else [],
        "cheaper": cheaper.strategy if found and (cheaper := found.cheapest_tie(Matrix().margin)) else None,
        "by_probe": found.by_probe if found else False,
        "margin": {"log_odds": margin[0], "datasets": margin[1]} if margin else None,
        "trial": trial(tried) if found else None,
    }


def _learn(
    evidence: Evidence, probed: bool, foreign: bool = False
) -> tuple[list[leave_one_out.HeldOut], bool]:
    """Left-out datasets are looked at as the asked one is: at one number of images, or along a curve.

    foreign: on a network that the evidence does not know; so each is advised on from the other networks alone.
    """
    if not evidence.reference:
        return [], True
    conditions = evidence.conditions if probed else known.without_curves(evidence.conditions)
    return leave_one_out.learn(conditions, evidence.reference, foreign)


def evaluate(evidence: Evidence, probed: bool = False) -> dict[str, Any]:
    """How the advice fares on every dataset of a store, advised on from the others. Raises UserError: no evidence."""
    if not evidence.reference or not evidence.conditions:
        raise UserError(
            "the store holds no results of full fine-tuning beside another strategy: nothing to judge by"
        )
    found, _ = _learn(evidence, probed)
    datasets = len({c.dataset for c in evidence.conditions})
    few = [f"{datasets} of the {LEAST} datasets that it takes to tell"] if datasets < LEAST else []
    return trial(found) | {"reference": evidence.reference, "notes": [*few, *evidence.notes]}


def trial(found: Sequence[leave_one_out.HeldOut]) -> dict[str, Any]:
    """Left-out trials as plain data."""
    scores = leave_one_out.scores(found)
    return {
        "datasets": len({t.condition.dataset for t in found}),
        "conditions": len(found),
        "scores": [asdict(score) for score in scores],
        "shown": leave_one_out.shown(scores),
        "covered": leave_one_out.covered(found),
        "left_out": [
            {
                "study": t.condition.study,
                "dataset": t.condition.label,
                "n_per_class": t.condition.place.n_per_class,
                "backbone": t.condition.place.backbone,
                "picks": dict(t.picks),
                "regrets": dict(t.regrets),
                "error": t.error,
            }
            for t in found
        ],
    }
