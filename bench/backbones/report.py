"""What became of each tensor of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

EXAMPLES = 3


@dataclass(frozen=True)
class LoadReport:
    """Names of the network's tensors by what became of them (`unexpected`, `head`: names in the checkpoint).

    mismatched: (name, shape in the checkpoint, shape in the network); these are not loaded.
    head: the checkpoint's own classifier, left out even where it would fit: its classes are not the task's.
    source_classes: how many classes that classifier tells apart; 0 where there is none.
    body_share: share of the body's weights (elements of its parameters) that were loaded.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    source_classes: int = 0
    body_share: float = 0.0
    source: str = ""

    def summary(self) -> str:
        """One line for a log."""
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in self._rows() if names)
        return f"{self._title()} ({counts or 'no tensors'})"

    def table(self) -> str:
        """A table of counts with the first few names of each kind."""
        rows = [(kind, str(len(names)), _examples(names)) for kind, names in self._rows()]
        rows.insert(0, ("", "tensors", "for example"))
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        return "\n".join([self._title(), *lines])

    def _title(self) -> str:
        return f"{self.source or 'weights'}: {self.body_share:.1%} of the body's weights loaded"

    def _rows(self) -> list[tuple[str, list[str]]]:
        shapes = [f"{name} {_shape(theirs)} -> {_shape(ours)}" for name, theirs, ours in self.mismatched]
        return [
            ("loaded", self.loaded),
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mismatched", shapes),
            ("head left out", self.head),
        ]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _examples(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
