from __future__ import annotations

from reports.analysis.study import Analysis
from reports.sections.curves import section
from tests.support import report_samples as samples

SIZES = {n: {"linear_probe": 0.5 + n / 1000, "full": 0.4 + 3 * n / 1000} for n in (15, 30, 100)}


def study(backbones: tuple[str, ...] = ("tiny",)) -> Analysis:
    document = samples.document({"fine": SIZES}, seeds=(0, 1), backbones=backbones)
    return samples.analysis(document, samples.all_stored(document, {"fine": SIZES}, between=0.0, within=0.0))


def test_every_size_has_its_column_where_cells_hold_several() -> None:
    lines = samples.text_of(section, study()).splitlines()
    start = lines.index("| strategy | fine, 15 | fine, 30 | fine, 100 |")
    assert lines[start + 2] == "| `linear_probe` | **51.5 ± 0.0** | **53.0 ± 0.0** | 60.0 ± 0.0 |"
    assert lines[start + 3] == "| `full` | 44.5 ± 0.0 | 49.0 ± 0.0 | **70.0 ± 0.0** |"


def test_no_such_table_where_cells_say_it_already_or_networks_differ() -> None:
    assert "|" not in samples.text_of(section, samples.analysis(samples.document()))  # a size in each cell
    assert "|" not in samples.text_of(section, study(("tiny", "other")))


def test_nothing_finished() -> None:
    text = samples.text_of(section, samples.analysis(samples.document(), []))
    assert text == "## Accuracy over images per class\n\nNo run has finished.\n"
