"""All of the corpus, by kind."""

from __future__ import annotations

from tests.corpus import checkpoints, folders, images, stores, studies
from tests.corpus.case import Bad, Odd

BAD: dict[str, list[Bad]] = {
    "study files": studies.CASES,
    "folders": folders.BAD,
    "images": images.BAD,
    "checkpoints": checkpoints.CASES,
    "stores": stores.CASES,
}

ODD: dict[str, list[Odd]] = {"folders": folders.ODD, "images": images.ODD}
