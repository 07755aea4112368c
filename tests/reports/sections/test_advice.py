from __future__ import annotations

from dataclasses import replace

from reports.sections.advice import judged
from tests.support import simulated_evidence as simulated


def answer(made: simulated.Study) -> str:
    return judged(*made)[0]


def test_the_advice_is_held_against_the_rule() -> None:
    found, table = judged(*simulated.study(simulated.PLANTED, datasets=6, noise=0.0))
    assert "shown to be better than the rule" in found and "each of 6 datasets" in found
    assert table is not None and "always the baseline" in [row[0] for row in table.rows]


def test_where_it_cannot_be_told_there_is_no_table() -> None:
    found, table = judged(*simulated.study(simulated.PLANTED, datasets=2))
    assert "It cannot be told" in found and "2 datasets" in found and table is None
    document, rows = simulated.study(simulated.PLANTED, datasets=6)
    bare = replace(document, strategies=(), matrix=replace(document.matrix, baseline=None))
    assert "no full fine-tuning" in answer((bare, rows))


def test_noise_shows_nothing() -> None:
    made = simulated.study({}, datasets=6, noise=0.02, between=0.02, seed=1)
    assert "not shown to be better" in answer(made)


def test_advice_that_is_worse_than_the_rule_says_so() -> None:
    """On each dataset another strategy fails that is best on all others: whoever learns from them falls for it."""
    document, rows = simulated.study({}, datasets=4, sizes=(10,), noise=0.0, measured=False)
    lures = ["last_stages", "scratch", "lora", "l2_sp"]
    for row in rows:
        row |= {"cell": "similar-small", "similarity": "similar"}
        fails = row["strategy"] == lures[int(row["dataset"][1:])]
        gain = 0.1 * (row["strategy"] == "linear_probe") + 0.3 * (row["strategy"] in lures) - 0.5 * fails
        row["test_accuracy"] = 0.5 + gain
    found = answer((document, rows))
    assert "−30.0 points saved" in found and "shown to be worse than the rule" in found
