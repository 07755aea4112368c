"""Keep normalisation statistics: trained BatchNorm layers run on their pretrained mean and variance."""

from bench.methods.api import Model, Phase, Task, Transform, replace


class KeepNormStats(Transform):
    """BatchNorm in eval mode while its affine parameters train: small batches cannot spoil the statistics."""

    source = "common practice in detection and few-shot fine-tuning"
    when = "Small batches or few classes per batch, whose statistics are far from the population's."
    against = "At higher rates weights drift away from statistics that no longer fit them, and training is unstable."
    needs = ("by_gradient", "trains_backbone", "keeps_pretrained")

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return replace(phase, norm_stats="keep")
