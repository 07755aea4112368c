"""Images that cannot be read: all of them named at once, or left out where the study says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.errors import UserError, shown
from bench.data.options import Option

LISTED = 100
"""So many are named, the others counted."""

EXAMPLES = 3  # names given in a remark

SKIP = Option(
    bool, False, "leave out images that cannot be read, and count them", in_identity_at_default=False
)
"""The option `skip_damaged` of the families that read files."""

HINT = (
    "Repair or remove them; or leave them out by `options: {skip_damaged: true}` on the dataset, "
    "say --set datasets.0.options.skip_damaged=true"
)


@dataclass
class Damaged:
    """What could not be read of one dataset.

    skip: whether these images are left out; else `settle` refuses them.
    """

    skip: bool
    _found: list[tuple[str, str, bool]] = field(default_factory=list)  # (name, reason, whether a test image)

    def add(self, name: str, reason: str, test: bool) -> None:
        self._found.append((name, reason, test))

    def settle(self, root: str = "") -> list[str]:
        """Call it once all was read. -> remarks for the report. root: what stands before names in messages.

        Raises UserError with each image and what is wrong with it, unless they may be left out.
        """
        if not self._found:
            return []
        self._found.sort()
        if not self.skip:
            raise UserError(self._refusal(root))
        names = [shown(name) for name, _, _ in self._found[:EXAMPLES]]
        dots = ", ..." if len(self._found) > EXAMPLES else ""
        tested = sum(test for _, _, test in self._found)
        of_test = f", {tested} of them test images" if tested else ""
        return [
            f"damaged images, left out (skip_damaged): {len(self._found)}{of_test} ({', '.join(names)}{dots})"
        ]

    def _refusal(self, root: str) -> str:
        lines = [f"{shown(root + name)}: {reason}" for name, reason, _ in self._found[:LISTED]]
        if (more := len(self._found) - LISTED) > 0:
            lines.append(f"and {more:,} more")
        count = "1 damaged image" if len(self._found) == 1 else f"{len(self._found):,} damaged images"
        hint = HINT.replace("them", "it") if len(self._found) == 1 else HINT
        return "\n".join([*lines, f"{count}. {hint}"])
