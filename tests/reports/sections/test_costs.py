from __future__ import annotations

from typing import Any

from bench.core.schema import Metric, Tag
from reports.sections.costs import section
from tests.support import report_samples as samples


def text(runs: list[dict[str, Any]] | None = None) -> str:
    return samples.text_of(section, samples.analysis(samples.document(), runs))


def stored() -> list[dict[str, Any]]:
    return samples.all_stored(samples.document())


def test_energy_has_a_column_where_it_was_read() -> None:
    assert "energy" not in text().lower()
    runs = stored()
    for run in runs:
        run.metrics[Metric.ENERGY] = 1500.0
    found = text(runs)
    assert "| training | peak memory | energy | trainable |" in found and "| 1.5 kJ |" in found
    assert "Energy: of the whole device" in found


def test_on_a_gpu_accuracy_is_drawn_over_its_memory_too() -> None:
    runs = stored()
    for run in runs:
        run.tags[Tag.DEVICE] = "cuda (NVIDIA H200)"
    found = text(runs)
    assert "(figures/memory.png)" in found and "resident size" not in found
    on_cpu = text()
    assert (
        "(figures/cost.png)" in on_cpu and "(figures/memory.png)" not in on_cpu and "resident size" in on_cpu
    )


def test_times_of_runs_that_were_trained_as_one_are_explained() -> None:
    runs = stored()
    runs[0].metrics[Metric.VECTORIZED_RUNS] = 8
    assert "trained as one" in text(runs) and "trained as one" not in text()


def test_nothing_finished_costs_nothing() -> None:
    assert text([]) == "## What it costs\n\nNo run has finished.\n"
