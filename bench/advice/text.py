"""The advice in words, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.schema import Measure
from reports.analysis import log_odds
from reports.analysis.advice import LEAST_DATASETS
from reports.analysis.dataset_intervals import LEAST
from reports.analysis.distance import Group
from reports.analysis.leave_one_out import ADVICE, RULE
from reports.render.text import NONE, interval, percent, plural, points, seconds
from reports.sections.advice import POLICIES, bounds

FAR = 2.0
"""Standard deviations from which on the nearest evidence is called far."""

VAGUE = 0.4
"""Half the length of a 95 % range from which on it says nothing."""

SHOWN = 5
"""Strategies and neighbours that are listed."""

GROUPS = {
    Group.SIZE: "images per class",
    Group.CLASSES: "number of classes",
    Group.FEATURES: "accuracy and evidence of frozen features",
    Group.LIKENESS: "similarity to the source",
}
"""What a distance is made of."""

Found = Mapping[str, Any]


def lines(found: Found) -> list[str]:
    """The advice for a terminal: what to do, how sure that is, what it rests on."""
    return [*_place(found), "", *_recommendation(found), "", *_basis(found)]


def _place(found: Found) -> list[str]:
    data, rule, measures = found["data"], found["rule"], found["measures"]
    lines = [
        f"images      {data['images']} of {data['classes']} classes to train on; smallest class "
        f"{data['smallest_class']}, median {data['median_class']:g}; advised on at {data['n_per_class']} per class",
        *(f"            {note}" for note in data["notes"]),
    ]
    shown = [f"{name} {measures[key]:.3g}" for name, key in _FIRST.items() if key in measures]
    lines.append(f"measured    {', '.join(shown) or 'nothing'} (on {found['backbone']['identity']})")
    for probe in found["probes"]:
        lines.append(f"            linear probe at {probe['n_per_class']} per class: {_probe(probe)}")
    where = f"{rule['size']} (up to {rule['small_at_most']} per class count as small)"
    similarity = rule["similarity"] or "similarity unknown: source images unavailable (--similarity says it)"
    return [*lines, f"matrix      {where}, {similarity}"]


_FIRST = {
    "linear probe, cross-validated": Measure.PROBE,
    "nearest neighbours": Measure.KNN,
    "LogME": Measure.LOGME,
    "Fréchet distance at the stem": Measure.FRECHET_STEM,
}


def _probe(probe: Found) -> str:
    value = probe["values"].get(Measure.PROBE)
    spread = f" ± {points(probe['probe_sd'])} over draws" if probe["probe_sd"] is not None else ""
    return f"{percent(value)}{spread} ({plural(probe['draws'], 'draw')})"


def _recommendation(found: Found) -> list[str]:
    rule = _rule(found["rule"])
    if not found["strategies"]:
        return [f"advice      none from evidence: {_why_none(found['evidence'])}", f"rule only   {rule}"]
    first = found["strategies"][0]
    lines = [f"advice      {first['strategy']}"]
    if first["settings"]:
        lines.append(f"settings    {settings(first['settings'])}")
    lines += _off_the_rate(found)
    lines.append(f"expected    {_expected(first, found)}")
    if first["seconds"] is not None:
        times = f", {first['times']:.2f} x {found['reference']}" if first["times"] is not None else ""
        lines.append(
            f"cost        {seconds(first['seconds'])} of training in runs nearby, on their machines{times}"
        )
    lines += _cheaper(found)
    return [
        *lines,
        f"rule        {rule}{_against_rule(found)}",
        f"how sure    {_where(found)}{_sure(found['trial'])}",
    ]


def settings(found: Sequence[Found]) -> str:
    """Those that a search chose nearby with their spread, then the others, as the studies have them."""
    searched = [_searched(one) for one in found if one["searched"]]
    fixed = [f"{one['name']} {_value(one['value'])}" for one in found if not one["searched"]]
    kept = f"{'; ' if searched else ''}not searched: {', '.join(fixed)}" if fixed else ""
    return f"{', '.join(searched)}{kept}"


def _off_the_rate(found: Found) -> list[str]:
    """What it costs to be off the best rate: what is best at one rate and lost beside it is poor advice without a search."""
    one = found.get("forgiving")
    if one is None:
        return []
    ways = {"too low": "below", "too high": "above"}
    lost = [f"{points(one[key])} {way}" for way, key in ways.items() if one[key] is not None]
    if not lost:
        return []
    return [
        f"forgiving   points lost with rates {one['step']:.2g} times {', '.join(lost)} "
        f"(validation images of {plural(one['searches'], 'search')})"
    ]


def _searched(one: Found) -> str:
    spread = ""
    if one["low"] is not None and one["low"] < one["high"]:
        over = plural(one["datasets"], "dataset")
        spread = f" (from {_value(one['low'])} to {_value(one['high'])} on {over} nearby)"
    return f"{one['name']} {_value(one['value'])}{spread}"


def _value(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _cheaper(found: Found) -> list[str]:
    """The cheapest of those that are about as good nearby."""
    first = found["strategies"][0]
    name = found.get("cheaper")
    one = next((s for s in found["strategies"] if s["strategy"] == name), None)
    if one is None:
        return []
    behind = points(first["gain"] - one["gain"])
    took = f"{seconds(one['seconds'])} instead of {seconds(first['seconds'])}" if first["seconds"] else ""
    return [f"cheaper     {name}: {behind} points less nearby, {took}"]


def _why_none(summary: Found) -> str:
    if not summary["conditions"]:
        return "the store holds no results of full fine-tuning beside another strategy"
    if summary["datasets"] < LEAST_DATASETS:
        return f"results of {plural(summary['datasets'], 'dataset')} only, which cannot tell what transfers"
    return "no strategy has results near by"


def _rule(rule: Found) -> str:
    picks = [f"{pick or 'no pick'} ({cell.replace('-', ', ')})" for cell, pick in rule["picks"].items()]
    origin = "the textbook" if rule["from"] == "textbook" else f"the textbook, as study {rule['from']} has it"
    return f"{' or '.join(picks)}, says {origin}; a rule, not a measurement"


def _expected(first: Found, found: Found) -> str:
    margin, accuracy = found["margin"], first["accuracy"]
    how = "from your own probe" if found["by_probe"] else "the neighbours' own"
    if margin is None:
        why = f"it takes {LEAST} datasets"
        if found["backbone"]["foreign"]:
            why = "no evidence is of this network, and of no two others, which would tell how far it carries"
        return f"test accuracy {_share(accuracy)} ({how}); no range: {why}"
    low, high = (log_odds.accuracy(first["odds"] + way * margin["log_odds"]) for way in (-1, 1))
    if high - low >= 2 * VAGUE:
        return f"test accuracy about {_share(accuracy)} ({how}); on held-out datasets that was far off, so no range"
    return (
        f"test accuracy {_share(accuracy)}, 95 % range {_share(low)} to {_share(high)} ({how}; range from the "
        f"errors on {margin['datasets']} held-out datasets{_foreign(found)})"
    )


def _foreign(found: Found) -> str:
    return ", each from other networks, as none is of this one" if found["backbone"]["foreign"] else ""


def _share(expected: float) -> str:
    """In percent, and never as 0 or 100 %, which is what an expectation cannot be."""
    if expected > 0.9995:
        return "above 99.9 %"
    return "below 0.1 %" if expected < 0.0005 else percent(expected)


def _against_rule(found: Found) -> str:
    by_name = {s["strategy"]: s for s in found["strategies"]}
    first = found["strategies"][0]
    picks = [p for p in found["rule"]["picks"].values() if p in by_name and p != first["strategy"]]
    if not picks:
        return ""
    words = [f"{points(first['gain'] - by_name[p]['gain'], sign=True)} points over {p}" for p in picks]
    return f" (nearby, the advice had {' and '.join(words)})"


def _where(found: Found) -> str:
    return "on the evidence's own network, which is not yours: " if found.get("tried_elsewhere") else ""


def _sure(trial: Found) -> str:
    scores = {s["policy"]: s for s in trial["scores"]}
    rule = scores.get(RULE)
    if rule is None or rule["saved"]["low"] is None:
        return (
            f"not known: the store has {plural(trial['datasets'], 'dataset')} that advice could be tried on; "
            f"it takes {LEAST}"
        )
    saved = rule["saved"]
    text = (
        f"on {saved['n']} held-out datasets such advice lost {points(rule['advice_regret'])} points against the best, "
        f"the rule {points(rule['regret']['mean'])}; difference {points(saved['mean'], sign=True)} "
        f"{interval(saved['low'], saved['high'], sign=True)}"
    )
    return (
        f"{text}: shown to beat the rule"
        if trial["shown"]
        else f"{text}: not shown to beat the rule, a hint only"
    )


def _basis(found: Found) -> list[str]:
    summary = found["evidence"]
    if not summary["conditions"]:
        return [f"note        {note}" for note in summary["notes"]]
    lines = [
        f"evidence    {plural(summary['conditions'], 'condition')} of {plural(summary['datasets'], 'dataset')}, "
        f"{summary['runs']} runs, {plural(len(summary['studies']), 'study')}"
    ]
    if summary["nearest"]:
        far = "far: " if summary["nearest"][0]["distance"] > FAR else ""
        lines.append(
            f"nearest     {far}{summary['nearest'][0]['distance']:.1f} standard deviations, in "
            f"{', '.join(summary['distance_by'])}"
        )
    for near in summary["nearest"][:SHOWN]:
        own = ", of a folder of this name" if near["own"] else ""
        lines.append(
            f"            {near['distance']:.1f} away, weight {near['weight']:.2f}: {near['dataset']} at "
            f"{near['n_per_class']:g} per class on {near['backbone']}, {near['runs']} runs{own}"
        )
    for ranked in found["strategies"][:SHOWN]:
        lines.append(
            f"strategy    {points(ranked['gain'], sign=True):>6} points over {found['reference']} "
            f"[{points(ranked['low'], sign=True)} to {points(ranked['high'], sign=True)} over "
            f"{plural(ranked['datasets'], 'dataset')}]  {ranked['strategy']}  ({ranked['runs']} runs)"
        )
    return [*lines, *(f"note        {note}" for note in summary["notes"])]


def score_rows(trial: Found) -> list[dict[str, Any]]:
    """The policies as rows of a console table, differences in points."""
    return [
        {
            "policy": POLICIES[s["policy"]],
            "regret": points(s["regret"]["mean"]),
            "saved": NONE if s["policy"] == ADVICE else points(s["saved"]["mean"], sign=True),
            "95 %": NONE if s["policy"] == ADVICE else bounds(s["saved"]["low"], s["saved"]["high"]),
            "datasets": str(s["saved"]["n"]),
            "conditions": str(s["conditions"]),
        }
        for s in trial["scores"]
    ]
