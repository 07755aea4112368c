"""Tables that only some studies have."""

from __future__ import annotations

from pathlib import Path

from bench.core.schema import Metric
from reports import tables
from reports.records import Row, join
from reports.report import write_study
from tests.support import report_samples as samples

SIZES = {n: {"linear_probe": 0.5 + n / 1000, "full": 0.4 + 3 * n / 1000} for n in (15, 30, 100)}


def rows(backbones: tuple[str, ...] = ("tiny",)) -> list[Row]:
    document = samples.document({"fine": SIZES}, seeds=(0, 1), backbones=backbones)
    return join(document, samples.all_stored(document, {"fine": SIZES}, between=0.0, within=0.0)).rows


def test_every_size_has_its_column_where_cells_hold_several() -> None:
    lines = tables.conditions(rows()).splitlines()
    assert lines[0] == "| strategy | fine, 15 | fine, 30 | fine, 100 |"
    assert lines[2] == "| `linear_probe` | **51.5 ± 0.0** | **53.0 ± 0.0** | 60.0 ± 0.0 |"
    assert lines[3] == "| `full` | 44.5 ± 0.0 | 49.0 ± 0.0 | **70.0 ± 0.0** |"


def test_no_such_table_where_cells_say_it_already_or_networks_differ() -> None:
    document = samples.document()
    assert tables.conditions(join(document, samples.all_stored(document)).rows) == ""  # a size in each cell
    assert tables.conditions(rows(("tiny", "other"))) == ""


def test_energy_has_a_column_where_it_was_read(tmp_path: Path) -> None:
    document = samples.document({"fine": SIZES}, seeds=(0,))
    runs = samples.all_stored(document, {"fine": SIZES})
    plain = write_study(join(document, runs), "cpu", tmp_path)
    assert "energy" not in (plain / "report.md").read_text().lower()
    for run in runs:
        run["metrics"][Metric.ENERGY] = 1500.0
    text = (write_study(join(document, runs), "gpu", tmp_path) / "report.md").read_text()
    assert "| training | peak memory | energy | trainable |" in text and "| 1.5 kJ |" in text
    assert "Energy: of the whole device" in text
