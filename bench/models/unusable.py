"""timm's networks that cannot be trained as classifiers here, and why: a plan refuses them without building any. Torch-free.

The long test of `tests/models/test_families.py` builds them and compares; whatever else cannot be used is found by
`bench.models.usable` before anything is prepared.
"""

from __future__ import annotations

import re

ENCODER = "it is an encoder without a classifier"
WEIGHED = (
    "it weighs several classifiers by parameters of its own, so its features alone do not decide its logits"
)

REASONS = {
    r"(deepseek|gemma4|qwen3)_vit_\w+_enc": ENCODER,
    r"mobilenetv5_300m_enc": ENCODER,
    r"efficientvim_\w+": WEIGHED,
}
"""Pattern of the whole name of an architecture -> why."""


def reason(name: str) -> str:
    """Why `name`, with or without a pretrained tag, cannot be used; "" where nothing is known against it."""
    architecture = name.partition(".")[0]
    return next((why for pattern, why in REASONS.items() if re.fullmatch(pattern, architecture)), "")
