"""What became of each tensor of a checkpoint, and of the network. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

EXAMPLES = 3
Shape = tuple[int, ...]
Change = tuple[str, Shape, Shape]


@dataclass(frozen=True)
class Share:
    """Of the tensors that count, and of their elements, those that were used."""

    tensors: int = 0
    of_tensors: int = 0
    elements: int = 0
    of_elements: int = 0

    def __str__(self) -> str:
        share = self.elements / max(1, self.of_elements)
        return f"{self.tensors} of {self.of_tensors} tensors ({percent(share)} of their elements)"

    @property
    def complete(self) -> bool:
        return self.tensors == self.of_tensors


@dataclass(frozen=True)
class LoadReport:
    """Names of the network's tensors by what became of them (`unexpected`, `head`: names in the checkpoint).

    mismatched: (name, shape in the checkpoint, shape in the network); these are not loaded.
    head: the checkpoint's own classifier, left out even where it would fit: its classes are not the task's.
    source_classes: how many classes that classifier tells apart; 0 where there is none.
    backbone_share: share of the backbone's weights (elements of its parameters) that were loaded.
    initial: the backbone's tensors that stay as they were initialised, though the network computes with them: parameters,
    and statistics such as BatchNorm's. resized: (name, shape in the checkpoint, in the network), resampled by timm for
    this image size. stems: the same of first layers of one channel, spread over three.
    network, file: the share that was loaded of the backbone's tensors, and of the checkpoint's without its classifier.
    remarks: what else a reader of the results should know.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[Change] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    source_classes: int = 0
    backbone_share: float = 0.0
    source: str = ""
    initial: list[str] = field(default_factory=list)
    resized: list[Change] = field(default_factory=list)
    stems: list[Change] = field(default_factory=list)
    network: Share = Share()
    file: Share = Share()
    remarks: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for a log."""
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in self._rows() if names)
        return f"{self._title()} ({counts or 'no tensors'})"

    def table(self) -> str:
        """A table of counts with the first few names of each kind, then the notes."""
        rows = [(kind, str(len(names)), _examples(names)) for kind, names in self._rows()]
        rows.insert(0, ("", "tensors", "for example"))
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        return "\n".join([self._title(), *lines, *self.notes()])

    def notes(self) -> list[str]:
        """What a report of results says: shares, and whatever was not taken over as it is; [] if nothing was read."""
        if not self.file.of_tensors:
            return list(self.remarks)
        backbone = f"{self.source}: loaded {self.network} of the network's backbone"
        notes = [f"{backbone}, from {self.file} of the file, classifiers aside"]
        if self.initial:
            notes.append(f"{self._initial()}, as `allow_missing` allows")
        if self.resized:
            notes.append(
                f"resampled by timm to this image size: {summarised(_names(self.resized), self.resized)}"
            )
        if self.stems:
            channels = sorted({theirs[1] for _, theirs, _ in self.stems})
            notes.append(
                f"the first layer of {'/'.join(map(str, channels))} channel was spread over three, each with a third of "
                f"its weights: {summarised(_names(self.stems), self.stems)}"
            )
        if self.unexpected:
            notes.append(f"the network has no place for {summarised(self.unexpected)} of the file")
        return [*notes, *self.remarks]

    def _initial(self) -> str:
        statistics = [name for name in self.initial if is_statistic(name)]
        said = f"keep their initial values: {summarised(self.initial, self.mismatched)}"
        frozen = "; a frozen network normalises with mean 0 and variance 1 there" if statistics else ""
        return f"{said}{frozen}"

    def _title(self) -> str:
        return f"{self.source or 'weights'}: {percent(self.backbone_share)} of the backbone's weights loaded"

    def _rows(self) -> list[tuple[str, list[str]]]:
        shapes = [f"{name} {shape(theirs)} -> {shape(ours)}" for name, theirs, ours in self.mismatched]
        return [
            ("loaded", self.loaded),
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mismatched", shapes),
            ("head left out", self.head),
            *([("initial values", self.initial)] if self.initial else []),
        ]


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var"))


def percent(share: float) -> str:
    """Rounded down: what is not the whole is never "100.0%"."""
    return f"{int(share * 1000 + 1e-9) / 10:.1f}%"


def summarised(names: Iterable[str], shapes: Sequence[Change] = (), most: int = 6) -> str:
    """Names with their numbers as `*`, how many each stands for, and the shapes of the first."""
    known = {
        name: f"{shape(theirs)} in the checkpoint, {shape(ours)} in the network"
        for name, theirs, ours in shapes
    }
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(name)
    said = []
    for kind, members in list(kinds.items())[:most]:
        count = str(len(members)) if len(members) > 1 else ""
        inside = "; ".join(filter(None, (count, known.get(members[0], ""))))
        said.append(f"{kind if count else members[0]}{f' ({inside})' if inside else ''}")
    return ", ".join(said) + (f", and {len(kinds) - most} more kinds" if len(kinds) > most else "")


def shape(sizes: Shape) -> str:
    return "x".join(map(str, sizes)) or "scalar"


def _names(changes: Sequence[Change]) -> list[str]:
    return [name for name, _, _ in changes]


def _examples(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
