"""Numbers and the user's strings as markdown. Accuracies come as fractions and are shown in percent."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard

NONE = "–"
_LEADING = re.compile(r"^(\d*)([-+=.)])")  # what would begin a list or underline a heading
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$^])")


def escape(text: object) -> str:
    """`text` on one line with every character escaped that markdown or HTML could act on."""
    return _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", _one_line(text)))


def code(text: object) -> str:
    """`text` as a code span, also inside a table; plainly escaped where it holds what would end the span."""
    line = _one_line(text)
    return escape(line) if not line or re.search(r"[`|\\]", line) else f"`{line}`"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def percent(fraction: float | None, digits: int = 1) -> str:
    """Fraction .885 as `88.5 %`."""
    return f"{100 * fraction:.{digits}f} %" if _known(fraction) else NONE


def points(fraction: float | None, digits: int = 1, sign: bool = False) -> str:
    """A difference of fractions in percentage points, without the unit."""
    if not _known(fraction):
        return NONE
    if math.isinf(fraction):
        return "∞" if fraction > 0 else "−∞"
    value = round(100 * fraction, digits) + 0.0  # no minus zero
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def interval(low: float, high: float, sign: bool = False) -> str:
    """`[0.4, 3.9]` in points."""
    return f"[{points(low, sign=sign)}, {points(high, sign=sign)}]"


def p_value(p: float) -> str:
    """Two digits, and never a zero."""
    return (
        "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 0.1 else f"{p:.2f}".removeprefix("0")
    )


def p_phrase(p: float) -> str:
    """`< .001` or `= .02`."""
    shown = p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def seconds(value: float | None) -> str:
    """Three figures below a minute, then minutes and hours."""
    if not _known(value):
        return NONE
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 3600 else f"{value / 3600:.1f} h"


def quantity(value: float | None, unit: str = "", step: int = 1000) -> str:
    """Engineering notation: 11.2 M. `step` 1024 with unit "B" gives MiB."""
    if not _known(value):
        return NONE
    power = next((p for p in (3, 2, 1) if abs(value) >= step**p), 0)
    scaled = value / step**power
    prefix = [
        "",
        "k" if step == 1000 else "Ki",
        "M" if step == 1000 else "Mi",
        "G" if step == 1000 else "Gi",
    ][power]
    digits = 0 if power == 0 or abs(scaled) >= 100 else 1
    return f"{scaled:.{digits}f} {prefix}{unit}".strip()


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and not math.isnan(value)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right_from: int = 1) -> str:
    """A markdown table; columns from `right_from` on are right-aligned. Cells must be escaped already."""
    rules = [":--" if i < right_from else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rules, *rows])


def plural(n: int, noun: str) -> str:
    """`1 study`, `2 studies`, `2 searches`."""
    if n == 1:
        return f"{n} {noun}"
    if noun.endswith("ch"):
        return f"{n} {noun}es"
    return f"{n} {noun[:-1]}ies" if noun.endswith("y") else f"{n} {noun}s"


def when(condition: object, text: str) -> str:
    """`text` where the condition holds, else nothing: a sentence of a caption that is not always true."""
    return text if condition else ""


def listed(items: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
