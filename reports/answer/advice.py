"""How good the advice is that `bench advise` gives from this evidence, on datasets that it has not seen."""

from __future__ import annotations

from reports.analysis.leave_one_out import Policy, Score, covered, shown
from reports.answer.overview import Overview
from reports.render.blocks import Block, Caption, Heading, Paragraph
from reports.render.text import interval, plural, points
from reports.sections.advice import POLICIES, score_table


def section(overview: Overview) -> list[Block]:
    """Where there are enough datasets."""
    if not overview.scores:
        return []
    return [
        Heading("How good is the advice?"),
        Paragraph(_answer(overview)),
        score_table(overview.scores),
        Caption("""
            Leave-one-dataset-out: what `bench advise` would pick for each dataset, knowing only the others; all sizes of a
            dataset, on every network, are held out together. Regret: accuracy lost against the best measured strategy of a
            condition, in points, averaged over conditions, then datasets; biased upward (the best is picked on the same
            results), alike for all policies. Saved: the policy's regret minus the advice's, paired; above 0 the advice is
            better. 95 % Student-t intervals over datasets with the variance of Nadeau and Bengio (2003), as what is picked
            for one dataset was learnt from the others. "Best of the others" is a static order of strategies; "by size
            alone" is the same advice without a look at the images: measures of the images are worth something to advice
            only if it beats both.
        """),
    ]


def _answer(overview: Overview) -> str:
    found = {score.policy: score for score in overview.scores}
    own = found[Policy.ADVICE].regret
    bounds = f" {interval(own.low, own.high)}" if own.low is not None and own.high is not None else ""
    text = f"On datasets that it has not seen, the advice loses {points(own.mean)} points{bounds} against the best strategy."
    parts = [
        _against(found[policy])
        for policy in (Policy.RULE, Policy.FIXED, Policy.SIZE)
        if policy in found and found[policy].saved.low is not None
    ]
    hits = covered(overview.held_out)
    told = f" Of the accuracies it expects, {hits[0]} of {hits[1]} lie in their 95 % range." if hits else ""
    controls = [policy for policy in (Policy.FIXED, Policy.SIZE) if policy in found]
    beaten = all(shown(overview.scores, policy) for policy in controls)
    goal = (
        "" if beaten else " Its measures of the images are not shown to be worth anything beyond these two."
    )
    return f"{' '.join([text, *parts])}{goal}{told}"


def _against(score: Score) -> str:
    saved = score.saved
    assert saved.low is not None and saved.high is not None
    verdict = (
        "a gain that is shown"
        if saved.low > 0
        else "a loss that is shown"
        if saved.high < 0
        else "which cannot be told from nothing"
    )
    return (
        f"With {POLICIES[score.policy]} it is {points(score.regret.mean)} points ({plural(saved.n, 'dataset')}): the "
        f"advice saves {points(saved.mean, sign=True)} {interval(saved.low, saved.high, sign=True)}, {verdict}."
    )
