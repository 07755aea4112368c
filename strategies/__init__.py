"""One method a file; each reads like its paper. The table below is what studies can name.

Adding one: its file, a line here, a test in tests/strategies/. Modules load only when named.
"""

from __future__ import annotations

from importlib import import_module

from bench.api import Part, Strategy

__all__ = ["TABLE", "Strategy", "get"]

TABLE: dict[str, str] = {
    # freezing schedules
    "scratch": "strategies.scratch:Scratch",
    "linear_probe": "strategies.linear_probe:LinearProbe",
    "last_stages": "strategies.last_stages:LastStages",
    "freeze_first": "strategies.freeze_first:FreezeFirst",
    "full": "strategies.full:Full",
    "staged": "strategies.staged:Staged",
    # learning-rate policies
    "uniform": "strategies.uniform:Uniform",
    "head_x10": "strategies.head_x10:HeadX10",
    # regularisers
    "none": "strategies.none:NoRegulariser",
    "weight_decay": "strategies.weight_decay:WeightDecay",
    "l2_sp": "strategies.l2_sp:L2SP",
    "keep_norm_stats": "strategies.keep_norm_stats:KeepNormStats",
}


def get(name: str) -> type[Part]:
    """The class behind a name of the table. Raises KeyError for an unknown one."""
    module, cls = TABLE[name].split(":")
    return getattr(import_module(module), cls)
