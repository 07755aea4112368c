"""Every figure on hand-made numbers: it is drawn, it is not blank, it is as wide as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.core.schema import MEASURES, Measure, Metric, Tag
from reports.analysis.study import Analysis
from reports.analysis.transferability import SIZE, Outcome, Prediction
from reports.figures import files
from reports.figures.transferability import transferability
from reports.render.blocks import Figure
from reports.report import compose
from tests.support import report_samples as samples
from tests.support.report_studies import (
    DEPTH_ACCURACY,
    FULL,
    SCRATCH,
    depths,
    measured_study,
    tuned_study,
    two_networks,
)

SMALL = 150_000
"""Bytes of a figure, at most."""


def ranked() -> Analysis:
    accuracy = {name: samples.ACCURACY["fine"] for name in ("fine", "fine2", "glyph")}
    study = samples.document(accuracy)
    study["matrix"]["baseline"] = "full"
    return samples.analysis(study, samples.all_stored(study, accuracy))


def on_gpu() -> Analysis:
    study = samples.document()
    runs = samples.all_stored(study)
    for run in runs:
        run.tags[Tag.DEVICE] = "cuda (NVIDIA H200)"
        run.metrics[Metric.PEAK_MEMORY] *= 1 + len(run.name) / 10
    return samples.analysis(study, runs)


def deep() -> Analysis:
    study = depths()
    return samples.analysis(study, samples.all_stored(study, DEPTH_ACCURACY))


def crowded() -> Analysis:
    names = ["linear_probe", *(f"full + head_x10 + l2_sp {i}" for i in range(12))]
    accuracy = {
        "fine": {n: {name: 0.5 + 0.01 * i for i, name in enumerate(names)} for n in (10, 20, 50, 200)}
    }
    study = samples.document(accuracy, backbones=["tiny", "small"])
    return samples.analysis(study, samples.all_stored(study, accuracy))


CASES: list[tuple[str, Callable[[], Analysis], set[str]]] = [
    # (study, how it is made, figures that it has)
    ("plain", lambda: samples.analysis(samples.document()), {"matrix", "forest", "curves", "cost"}),
    ("ranked", ranked, {"ranking", "ranks"}),
    ("on a GPU", on_gpu, {"cost", "memory"}),
    ("tuned", lambda: samples.analysis(*tuned_study()), {"matrix", "tuning", "history"}),
    ("networks", lambda: Analysis(two_networks(reverse=True), "two"), {"networks", "curves"}),
    ("one hyperparameter", deep, {"effect"}),
    ("measures", lambda: Analysis(measured_study(6), "s"), {"transferability"}),
    ("many strategies", crowded, {"matrix", "forest", "curves", "cost"}),
]


@pytest.mark.parametrize(("study", "made", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_figures_are_drawn_and_small(
    study: str, made: Callable[[], Analysis], wanted: set[str], out: Path
) -> None:
    figures = [b for b in compose(made()) if isinstance(b, Figure) and b.name in wanted]
    assert {figure.name for figure in figures} == wanted
    files.draw(figures, out)
    for name in wanted:
        path = out / f"{name}.png"
        with Image.open(path) as image:
            assert image.width == 1260 and image.height > 150 and path.stat().st_size < SMALL
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20, f"{name} is blank"


def test_figures_of_an_earlier_report_go(out: Path) -> None:
    out.mkdir()
    (out / "sweep.png").write_bytes(b"old")
    (out / "notes.txt").write_text("the user's own")
    files.draw([], out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_measure_that_does_not_vary_has_no_row() -> None:
    """All conditions of one size: how many images there are can explain nothing."""
    found = [Prediction(Measure.LOGME, 6, 0.8, 0.1, 1), Prediction(SIZE, 6, None, -1, 1)]
    figure = transferability([Outcome(FULL, SCRATCH)], [found])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [MEASURES[Measure.LOGME]]
