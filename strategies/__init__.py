"""One method a file; each reads like its paper. The table below is what studies can name.

Adding one: its file, a line here, a test in tests/strategies/. Modules load only when named.
"""

from __future__ import annotations

from importlib import import_module

from bench.methods.api import Part, Strategy

__all__ = ["TABLE", "Strategy", "get"]

TABLE: dict[str, str] = {
    # freezing schedules
    "scratch": "strategies.scratch:Scratch",
    "linear_probe": "strategies.linear_probe:LinearProbe",
    "logreg": "strategies.logreg:LogReg",
    "last_stages": "strategies.last_stages:LastStages",
    "freeze_first": "strategies.freeze_first:FreezeFirst",
    "freeze_fraction": "strategies.freeze_fraction:FreezeFraction",
    "freeze_pattern": "strategies.freeze_pattern:FreezePattern",
    "freeze_children": "strategies.freeze_children:FreezeChildren",
    "full": "strategies.full:Full",
    "staged": "strategies.staged:Staged",
    "five_step": "strategies.five_step:FiveStep",
    "gradual": "strategies.gradual:Gradual",
    "lp_ft": "strategies.lp_ft:LPFT",
    "surgical": "strategies.surgical:Surgical",
    "auto_rgn": "strategies.auto_rgn:AutoRGN",
    "auto_freeze": "strategies.auto_freeze:AutoFreeze",
    "shared_prefix": "strategies.shared_prefix:SharedPrefix",
    "norm_only": "strategies.norm_only:NormOnly",
    "bitfit": "strategies.bitfit:BitFit",
    # learning-rate policies
    "uniform": "strategies.uniform:Uniform",
    "head_x10": "strategies.head_x10:HeadX10",
    "discriminative": "strategies.discriminative:Discriminative",
    "llrd": "strategies.llrd:LLRD",
    "tenth": "strategies.tenth:Tenth",
    # learning-rate schedules
    "cosine": "strategies.cosine:Cosine",
    "slanted_triangular": "strategies.slanted_triangular:SlantedTriangular",
    "one_cycle": "strategies.one_cycle:OneCycle",
    "step": "strategies.step:Step",
    # regularisers
    "none": "strategies.none:NoRegulariser",
    "weight_decay": "strategies.weight_decay:WeightDecay",
    "l2_sp": "strategies.l2_sp:L2SP",
    "keep_norm_stats": "strategies.keep_norm_stats:KeepNormStats",
    "delta": "strategies.delta:Delta",
    "bss": "strategies.bss:BSS",
    "stoch_norm": "strategies.stoch_norm:StochNorm",
    "co_tuning": "strategies.co_tuning:CoTuning",
    "lwf": "strategies.lwf:LwF",
    "reg_sl": "strategies.reg_sl:RegSL",
    "label_smoothing": "strategies.label_smoothing:LabelSmoothing",
    "mixup": "strategies.mixup:Mixup",
    "cutmix": "strategies.cutmix:CutMix",
    "ema": "strategies.ema:EMA",
    "bi_tuning": "strategies.bi_tuning:BiTuning",
    # teachers and unlabelled data
    "distill": "strategies.distill:Distill",
    "pseudo_label": "strategies.pseudo_label:PseudoLabel",
    "fixmatch": "strategies.fixmatch:FixMatch",
    "mean_teacher": "strategies.mean_teacher:MeanTeacher",
    # changes of structure
    "lora": "strategies.lora:LoRA",
    "ia3": "strategies.ia3:IA3",
    "trans_tailor": "strategies.trans_tailor:TransTailor",
    "spot_tune": "strategies.spot_tune:SpotTune",
    "mlp_head": "strategies.mlp_head:MLPHead",
    "truncate": "strategies.truncate:Truncate",
}


def get(name: str) -> type[Part]:
    """The class behind a name of the table. Raises KeyError for an unknown one."""
    module, cls = TABLE[name].split(":")
    found: type[Part] = getattr(import_module(module), cls)
    return found
