from __future__ import annotations

from math import asin, pi
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from bench.core.schema import MEASURES, Measure
from reports.analysis import Analysis
from reports.figures_transferability import transferability as drawn
from reports.records import Study, join
from reports.report import render, write_study
from reports.transferability import (
    SIZE,
    Outcome,
    Prediction,
    conditions,
    correlate,
    fisher,
    outcomes,
    predict,
)
from reports.transferability_text import section
from tests.support import report_samples as samples

PROBE, FULL, SCRATCH = "linear_probe", "full", "scratch"


def study(datasets: int, measured: bool = True) -> Study:
    """Datasets whose gains of the probe grow with nearness: LogME rises and the stem's distance falls with them."""
    accuracy = {
        f"d{i}": {
            10: {PROBE: 0.30 + 0.08 * i, FULL: 0.40 + 0.04 * i, SCRATCH: 0.30},
            100: {PROBE: 0.40 + 0.07 * i, FULL: 0.62 + 0.03 * i, SCRATCH: 0.55},
        }
        for i in range(datasets)
    }
    document = samples.document(accuracy, seeds=(0, 1), backbones=["tiny"])
    for i, entry in enumerate(document["datasets"]):
        if measured:
            entry["measures"] = [
                {
                    "backbone": "tiny",
                    "n_per_class": n,
                    "images": 10 * n,
                    "values": {Measure.FRECHET_STEM: 2.0 - 0.2 * i, Measure.LOGME: -0.3 + 0.1 * i},
                    "missing": {Measure.LEEP: "no head"},
                }
                for n in (10, 100)
            ]
    return join(document, samples.all_stored(document, accuracy, within=0.001))


def test_outcomes_are_the_plainest_strategies_in_pairs() -> None:
    document = study(2).document
    document["strategies"].append(
        {"label": "full + x", "freeze": {"name": "full"}, "lr": [{}, {}], "regularize": []}
    )
    asked = [(o.strategy, o.reference) for o in outcomes(document)]
    assert asked == [(PROBE, SCRATCH), (FULL, SCRATCH), (FULL, PROBE)]
    document["strategies"] = [s for s in document["strategies"] if s["label"] != SCRATCH]
    assert [(o.strategy, o.reference) for o in outcomes(document)] == [(FULL, PROBE)]


def test_conditions_hold_paired_means_over_common_seeds() -> None:
    made = study(2)
    lost = next(
        r for r in made.rows if (r["dataset"], r["n_per_class"], r["strategy"]) == ("d0", 10, SCRATCH)
    )
    lost["test_accuracy"] = None
    first, second, *_ = conditions(made.document, made.rows)
    seeds = {
        row["strategy"]: row["test_accuracy"]
        for row in made.rows
        if (row["dataset"], row["n_per_class"], row["seed"]) == ("d0", 10, 1)
    }
    assert first.outcomes[0] == pytest.approx(seeds[PROBE] - seeds[SCRATCH])
    assert (second.dataset, second.n_per_class) == ("d0", 100)
    assert second.outcomes[2] == pytest.approx(0.22, abs=0.01)


def test_distances_are_negated_and_the_size_stands_beside_the_measures() -> None:
    made = study(6)
    found = predict(conditions(made.document, made.rows), 0)
    assert [p.measure for p in found] == [Measure.FRECHET_STEM, Measure.LOGME, SIZE]
    stem, logme, size = found
    assert stem.n == 12 and stem.correlation == pytest.approx(logme.correlation) and stem.correlation > 0.5
    assert stem.shown and not size.shown


@pytest.mark.parametrize("n", [5, 12])
def test_the_correlation_is_spearman_s_within_its_interval(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.integers(0, 4, n).astype(float)  # with ties
    r, low, high = correlate(x, y, [f"d{i}" for i in range(n)])
    assert r == pytest.approx(spearmanr(x, y).statistic) and -1 <= low < r < high <= 1
    assert correlate(x, np.ones(n), ["d"] * n)[0] is None


def test_a_perfect_order_of_few_conditions_proves_nothing() -> None:
    """Its bootstrap has no width: of 4 conditions 1 order in 12 is perfect."""
    x = np.arange(4.0)
    r, low, high = correlate(x, x, ["a", "b", "c", "d"])
    assert r == 1 == high and low < 0
    assert correlate(np.arange(12.0), np.arange(12.0), list("abcdefghijkl"))[1] > 0.5


def test_sizes_of_one_dataset_are_no_independent_evidence() -> None:
    """Each dataset three times over: the interval over datasets is wider than over as many independent conditions."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=6), rng.normal(size=6)
    y = y + 0.8 * x
    together = correlate(np.repeat(x, 3), np.repeat(y, 3), np.repeat(list("abcdef"), 3).tolist())
    apart = correlate(np.repeat(x, 3), np.repeat(y, 3), [str(i) for i in range(18)])
    assert together[0] == apart[0] and together[2] - together[1] > 1.2 * (apart[2] - apart[1])


@pytest.mark.parametrize("n", [4, 6, 12, 30])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_intervals_keep_their_level(n: int, rho: float) -> None:
    """Of 1,500 simulated studies at most 6 % have an interval (of Fisher's alone: the hull is wider) off the truth."""
    rng = np.random.default_rng(n)
    truth = 6 / pi * asin(rho / 2)  # Spearman's, of normal pairs
    x = rng.normal(size=(1500, n))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=x.shape)
    ranks = [z.argsort(1).argsort(1) - (n - 1) / 2 for z in (x, y)]
    found = (ranks[0] * ranks[1]).sum(1) / (ranks[0] ** 2).sum(1)
    off = [not low <= truth <= high for low, high in (fisher(float(r), n) for r in found)]
    assert np.mean(off) <= 0.06


def test_the_section_of_the_report(tmp_path: Path) -> None:
    folder = write_study(study(6), "s", tmp_path)
    text = (folder / "report.md").read_text()
    part = text.split("## Which measure predicts?")[1].split("\n## ")[0]
    assert text.index("## Which measure") < text.index("## Protocol")
    assert MEASURES[Measure.LOGME] in part and MEASURES[Measure.LEEP] not in part
    assert "images per class, no measure" in part
    assert "`linear_probe` minus `scratch` is ordered by Fréchet distance, stem" in part
    assert "−0.3" in part and "transferability.png" in part and "test set evaluated once" in part
    picture = Image.open(folder / "figures" / "transferability.png")
    assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert "data:image/png" in (folder / "report.html").read_text()


def test_too_few_conditions_cannot_tell(tmp_path: Path) -> None:
    made = study(1)
    text = (write_study(made, "s", tmp_path) / "report.md").read_text()
    assert "It cannot be told: 2 conditions" in text and "| `d0` | tiny | 10 |" in text
    assert not (tmp_path / "s" / "figures" / "transferability.png").exists()
    unfinished = join(study(6).document, [])
    assert (
        "It cannot be told: 0 conditions"
        in (write_study(unfinished, "u", tmp_path) / "report.md").read_text()
    )


def test_conditions_without_a_result_do_not_count(tmp_path: Path) -> None:
    """Three datasets and a part of the fourth: the outcomes have different conditions, and say so."""
    made = study(4)
    for row in made.rows:
        if (row["dataset"], row["n_per_class"]) == ("d3", 100) and row["strategy"] == SCRATCH:
            row["test_accuracy"] = None
    found = section(made.document, made.rows)
    assert found is not None and [p[0].n for p in found.predictions] == [7, 7, 8]
    assert "| 7–8 |" in found.table
    equal = study(4)
    for row in equal.rows:
        row["test_accuracy"] = 0.5
    flat = section(equal.document, equal.rows)
    assert flat is not None and "none of the measures orders" in flat.answer and "None" not in flat.table


def test_without_measures_there_is_no_section(tmp_path: Path) -> None:
    made = study(2, measured=False)
    assert section(made.document, made.rows) is None
    assert "Which measure" not in (write_study(made, "s", tmp_path) / "report.md").read_text()


def test_what_does_not_vary_has_no_row_in_the_figure() -> None:
    """All conditions of one size: how many images there are can explain nothing."""
    constant = Prediction(SIZE, 6, None, -1, 1)
    asked = [Outcome(FULL, SCRATCH)]
    figure = drawn(asked, [[Prediction(Measure.LOGME, 6, 0.8, 0.1, 1), constant]])
    assert figure is not None
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [MEASURES[Measure.LOGME]]
    assert drawn(asked, [[constant]]) is None


def test_what_is_not_measured_yet_is_said_with_the_reason() -> None:
    made = study(2)
    known = {"of": "x", "missing": None, "final": False}
    for entry in made.document["datasets"]:
        entry["measured"] = {"tiny": known}
    found = section(made.document, made.rows)
    assert found and not found.missing
    first = made.document["datasets"][0]
    first["measures"], first["measured"] = [], {"tiny": {**known, "missing": "not measured yet"}}
    found = section(made.document, made.rows)
    assert found and found.missing == ["`d0` on `tiny`: not measured yet"] and "`d1`" in found.values
    assert "- `d0` on `tiny`: not measured yet" in render(Analysis(made, "x"), {})
    second = made.document["datasets"][1]
    second["measures"], second["measured"] = [], first["measured"]
    text = render(Analysis(made, "x"), {})
    assert "It cannot be told yet." in text and "- `d1` on `tiny`: not measured yet" in text
    for entry in made.document["datasets"]:
        del entry["measured"]
    assert section(made.document, made.rows) is None
