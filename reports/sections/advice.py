"""How good is the advice of `bench advise` on this study's datasets, each advised on from the others?"""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.records.study import StudyRecord
from reports.analysis import evidence
from reports.analysis.dataset_intervals import LEAST, Interval
from reports.analysis.leave_one_out import (
    ADVICE,
    RULE,
    HeldOut,
    Policy,
    Score,
    covered,
    learn,
    scores,
    shown,
)
from reports.analysis.rows import Row
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, plural, points
from reports.render.words import selection

POLICIES = {
    Policy.ADVICE: "the advice",
    Policy.RULE: "the textbook's rule",
    Policy.FULL: "always the baseline",
    Policy.PROBE: "always linear probe",
    Policy.FIXED: "best of the others",
    Policy.SIZE: "by size alone",
}


def section(study: Analysis) -> list[Block]:
    answer, table = judged(study.document, study.rows)
    heading: list[Block] = [Heading("How good is the advice?"), Paragraph(answer)]
    if table is None:
        return heading
    return [
        *heading,
        table,
        Caption(f"""
            Leave-one-dataset-out: what `bench advise` would have picked for each dataset of this study, knowing only the
            others; all sizes of a dataset are held out together. Regret: accuracy lost against the best measured
            strategy of a condition, in percentage points, averaged over conditions, then datasets; it is biased upward
            (winner's curse: the best is picked on the same results), alike for all policies. Saved: the policy's regret
            minus the advice's, paired. 95 % Student-t intervals over datasets, with Nadeau and Bengio's variance: what
            is picked for one dataset was learnt from the others. {selection(study.document)}
        """),
    ]


def judged(document: StudyRecord, rows: Sequence[Row]) -> tuple[str, Table | None]:
    """The answer and the table of the policies; without the latter where it cannot be told."""
    found = evidence.conditions(document, rows)
    reference = evidence.reference(found)
    if not reference:
        return "It cannot be told: no full fine-tuning has results to compare with.", None
    usable = evidence.comparable(found, reference)
    datasets = len({c.dataset for c in usable})
    if datasets < LEAST:
        why = (
            f"It cannot be told: to hold a dataset out and advise on it from the others takes {LEAST}, but "
            f"{plural(datasets, 'dataset')} of this study {'has' if datasets == 1 else 'have'} results of "
            f"{code(reference)} beside other strategies."
        )
        return why, None
    held_out, _ = learn(evidence.without_curves(usable), reference)
    found_scores = scores(held_out)
    return _answer(found_scores, held_out), score_table(found_scores)


def _answer(found: Sequence[Score], held_out: Sequence[HeldOut]) -> str:
    rule = next((s for s in found if s.policy == RULE), None)
    if rule is None:
        return "The rule's picks have no results, so the advice can be held against other policies only."
    if shown(found):
        verdict = "So the advice is shown to be better than the rule on datasets that it had not seen."
    elif rule.saved.high is not None and rule.saved.high < 0:
        verdict = "So the advice is shown to be worse than the rule: do not follow it here."
    else:
        verdict = "So the advice is not shown to be better than the rule."
    saved = points(rule.saved.mean, sign=True)
    return (
        f"Advised on from the study's other datasets, each of {plural(rule.saved.n, 'dataset')} loses "
        f"{points(rule.advice_regret)} points against its best strategy, and {points(rule.regret.mean)} by the rule: "
        f"{saved} points saved {bounds(rule.saved.low, rule.saved.high)}. {verdict}{_coverage(held_out)}"
    )


def _coverage(held_out: Sequence[HeldOut]) -> str:
    found = covered(held_out)
    return (
        f" Of the accuracies it expects, {found[0]} of {found[1]} lie in their 95 % range." if found else ""
    )


def score_table(found: Sequence[Score]) -> Table:
    """A line per policy."""
    header = ["policy", "regret, points", "saved by the advice", "95 %", "datasets", "conditions"]
    return Table(header, [_score_line(score) for score in found])


def _score_line(score: Score) -> list[str]:
    own = score.policy == ADVICE
    saved = Interval(score.saved.n, score.saved.mean, None, None) if own else score.saved
    return [
        POLICIES[score.policy],
        points(score.regret.mean),
        NONE if own else points(saved.mean, sign=True),
        bounds(saved.low, saved.high),
        str(score.saved.n),
        str(score.conditions),
    ]


def bounds(low: float | None, high: float | None) -> str:
    """An interval in points, where there is one."""
    return NONE if low is None or high is None else interval(low, high, sign=True)
