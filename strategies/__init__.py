"""One method a file; each reads like its paper. The table below is what studies can name.

A family is a folder; `shared/` and `layers/` are what several methods use. Adding one: its file in the folder of its
family, a line here, a test in tests/strategies/. Modules load only when named.
"""

from __future__ import annotations

from importlib import import_module

from bench.methods.api import Part, Strategy

__all__ = ["TABLE", "Strategy", "get"]

TABLE: dict[str, str] = {
    # freezing schedules
    "scratch": "strategies.freezing.scratch:Scratch",
    "linear_probe": "strategies.freezing.linear_probe:LinearProbe",
    "logreg": "strategies.freezing.logreg:LogReg",
    "last_stages": "strategies.freezing.last_stages:LastStages",
    "freeze_first": "strategies.freezing.freeze_first:FreezeFirst",
    "freeze_fraction": "strategies.freezing.freeze_fraction:FreezeFraction",
    "freeze_pattern": "strategies.freezing.freeze_pattern:FreezePattern",
    "freeze_children": "strategies.freezing.freeze_children:FreezeChildren",
    "full": "strategies.freezing.full:Full",
    "staged": "strategies.freezing.staged:Staged",
    "five_step": "strategies.freezing.five_step:FiveStep",
    "gradual": "strategies.freezing.gradual:Gradual",
    "lp_ft": "strategies.freezing.lp_ft:LPFT",
    "surgical": "strategies.freezing.surgical:Surgical",
    "auto_rgn": "strategies.freezing.auto_rgn:AutoRGN",
    "auto_freeze": "strategies.freezing.auto_freeze:AutoFreeze",
    "shared_prefix": "strategies.freezing.shared_prefix:SharedPrefix",
    "norm_only": "strategies.freezing.norm_only:NormOnly",
    "bitfit": "strategies.freezing.bitfit:BitFit",
    # learning-rate policies
    "uniform": "strategies.learning_rates.uniform:Uniform",
    "head_x10": "strategies.learning_rates.head_x10:HeadX10",
    "discriminative": "strategies.freezing.discriminative:Discriminative",
    "llrd": "strategies.learning_rates.llrd:LLRD",
    "tenth": "strategies.learning_rates.tenth:Tenth",
    # learning-rate schedules
    "cosine": "strategies.schedules.cosine:Cosine",
    "slanted_triangular": "strategies.schedules.slanted_triangular:SlantedTriangular",
    "one_cycle": "strategies.schedules.one_cycle:OneCycle",
    "step": "strategies.schedules.step:Step",
    # regularisers
    "none": "strategies.regularization.none:NoRegulariser",
    "weight_decay": "strategies.regularization.weight_decay:WeightDecay",
    "l2_sp": "strategies.regularization.l2_sp:L2SP",
    "keep_norm_stats": "strategies.regularization.keep_norm_stats:KeepNormStats",
    "delta": "strategies.regularization.delta:Delta",
    "bss": "strategies.regularization.bss:BSS",
    "stoch_norm": "strategies.regularization.stoch_norm:StochNorm",
    "co_tuning": "strategies.regularization.co_tuning:CoTuning",
    "lwf": "strategies.regularization.lwf:LwF",
    "reg_sl": "strategies.regularization.reg_sl:RegSL",
    "label_smoothing": "strategies.regularization.label_smoothing:LabelSmoothing",
    "mixup": "strategies.regularization.mixup:Mixup",
    "cutmix": "strategies.regularization.cutmix:CutMix",
    "ema": "strategies.regularization.ema:EMA",
    "bi_tuning": "strategies.regularization.bi_tuning:BiTuning",
    # teachers and unlabelled data
    "distill": "strategies.teachers.distill:Distill",
    "pseudo_label": "strategies.teachers.pseudo_label:PseudoLabel",
    "fixmatch": "strategies.teachers.fixmatch:FixMatch",
    "mean_teacher": "strategies.teachers.mean_teacher:MeanTeacher",
    # changes of structure
    "lora": "strategies.structure.lora:LoRA",
    "ia3": "strategies.structure.ia3:IA3",
    "trans_tailor": "strategies.structure.trans_tailor:TransTailor",
    "spot_tune": "strategies.structure.spot_tune:SpotTune",
    "mlp_head": "strategies.structure.mlp_head:MLPHead",
    "truncate": "strategies.structure.truncate:Truncate",
}


def get(name: str) -> type[Part]:
    """The class behind a name of the table. Raises KeyError for an unknown one."""
    module, cls = TABLE[name].split(":")
    found: type[Part] = getattr(import_module(module), cls)
    return found
