"""One look for all figures: colours for colour-blind readers, and never a colour without a second sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from reports.analysis.verdict import Verdict

WIDTH = 8.4  # inches; GitHub shows a page about 830 px wide, so 10 pt stay legible
DPI = 150
INK, FAINT, RULE = "#222222", "#8a8a8a", "#d9d9d9"
BETTER, WITHIN, OPEN = "#c4500a", "#00795a", "#6f6f6f"  # against the rule; with it; not known
VERDICT_COLOR = {
    Verdict.SUPPORTED: WITHIN,
    Verdict.CONTRADICTED: BETTER,
    Verdict.UNDECIDED: "#8a6500",
    Verdict.PROVISIONAL: OPEN,
    Verdict.UNTESTED: OPEN,
}
VERDICT_FILL = {
    Verdict.SUPPORTED: "#e6f4ee",
    Verdict.CONTRADICTED: "#fdece1",
    Verdict.UNDECIDED: "#faf3dd",
    Verdict.PROVISIONAL: "#f2f2f2",
    Verdict.UNTESTED: "#f2f2f2",
}
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d"]
PALE = (6, 8)  # seaborn's pink and yellow hardly show on white
DASHES = ["-", "--", ":", "-."]
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a "$" in a name is a dollar sign
}


@dataclass(frozen=True)
class Look:
    """How one strategy is drawn in every figure."""

    color: tuple[float, float, float]
    marker: str
    dash: str

    @property
    def line(self) -> dict[str, Any]:
        """matplotlib's arguments for a line with markers."""
        edge = {"markersize": 7, "markeredgecolor": "white"}
        return {"color": self.color, "marker": self.marker, "linestyle": self.dash, **edge}

    @property
    def point(self) -> dict[str, Any]:
        """For a single marker, half open so that one below another shows."""
        face = {"markerfacecolor": (*self.color, 0.35), "markeredgecolor": self.color, "markeredgewidth": 1.6}
        return {"marker": self.marker, "linestyle": "none", "markersize": 8, **face}


def looks(strategies: Sequence[str]) -> dict[str, Look]:
    """Distinct colours for the first 8 strategies; beyond that markers and dashes tell them apart."""
    colors = [color for i, color in enumerate(sns.color_palette("colorblind")) if i not in PALE]
    return {
        name: Look(colors[i % len(colors)], MARKERS[i % len(MARKERS)], DASHES[i // len(colors) % len(DASHES)])
        for i, name in enumerate(strategies)
    }


def style() -> Any:
    """Context in which figures are made and saved."""
    return rc_context({**sns.axes_style("whitegrid"), **RC})


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure without pyplot: no global state, so reports can be written from any thread."""
    layout = ConstrainedLayoutEngine(h_pad=0.07, hspace=0.04)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def legend(figure: Figure, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """All strategies below the panels, in as many columns as fit."""
    names = [shorten(name, 34) for name in looks]
    columns = int(WIDTH * 10 / (max(map(len, names)) + 6))
    handles = [Line2D([], [], **look) for look in looks.values()]
    columns = max(1, min(len(names), columns))
    figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=columns)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG on white, which reads on dark pages too. No timestamp: equal data give equal files.

    128 colours are enough for lines and text, and make the file a third as large.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True, dpi=(DPI, DPI))
    return path


def shorten(text: str, length: int) -> str:
    """`text` cut in the middle, where long labels differ least."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
