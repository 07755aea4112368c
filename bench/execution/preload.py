"""What the server imports that workers are forked from: all that jobs need.

Frozen, it is not looked through by the workers' garbage collections, which would copy the pages that they share.
"""

from __future__ import annotations

import gc

from bench.core.imports import uncollected

with uncollected():
    import bench.execution.worker  # noqa: F401

gc.freeze()
