"""What a run has cost, as the metrics that it ends with."""

from __future__ import annotations

from bench.core.schema import Metric
from bench.training.cost import Clock, EnergyMeter, MemoryMeter, forward_flops
from bench.training.loop import Trainer


def cost_metrics(
    trainer: Trainer, clock: Clock, memory: MemoryMeter, energy: EnergyMeter
) -> dict[str, float]:
    """Of a run whose training and evaluation are over. Seconds, bytes, joules and FLOPs, as `bench.core.schema` has them."""
    seconds = clock.seconds
    joules, at_once = energy.joules(), trainer.pass_limit.at_once
    borrowed = {
        kind: trainer.activations.cached_feature_seconds(kind) if trainer.activations else 0.0
        for kind in ("train", "eval")
    }
    train = seconds["train"] + borrowed["train"]  # as if it had computed by itself what it found in the cache
    return {
        Metric.PREPARE_SECONDS: seconds["prepare"],
        Metric.TRAIN_SECONDS: train,
        Metric.EVAL_SECONDS: seconds["eval"] + borrowed["eval"],
        Metric.CACHED_FEATURE_SECONDS: sum(borrowed.values()),
        Metric.TOTAL_SECONDS: seconds["total"],
        Metric.IMAGES_PER_SECOND: trainer.epochs.samples_seen / train,
        Metric.SAMPLES_SEEN: trainer.epochs.samples_seen,
        Metric.PEAK_MEMORY: memory.device_peak(),
        Metric.PEAK_HOST_MEMORY: memory.host_peak(),
        Metric.PARAMS_TRAINABLE: trainer.trainable,
        Metric.PARAMS_TOTAL: sum(p.numel() for p in trainer.model.parameters()),
        Metric.FLOPS: forward_flops(trainer.model),
        **({Metric.MICRO_BATCH: at_once} if trainer.pass_limit.parted and at_once else {}),
        **({Metric.ENERGY: joules} if joules is not None else {}),
    }
