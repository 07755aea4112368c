"""The metrics that are logged: their names, and what each is. A new one is a constant, a line of `DECLARATIONS`,
and the code that computes it: docs/adding.md, "A metric".

A name in a store cannot be changed later. Nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """When a metric is logged, and of what it speaks."""

    EPOCH = "epoch"  # of a run, once per epoch; step: the epoch over all phases, from 1
    RESULT = "result"  # of a run, once at its end: how good the evaluated network is
    COST = "cost"  # of a run, once at its end: what it took
    SEARCH = "search"  # of a search, once at its end


class Metric:
    """MLflow metric keys. What each is, `DECLARATIONS` says."""

    # per epoch (step = epoch over all phases, from 1)
    TRAIN_LOSS: Final = "train/loss"  # the sum; each term is train/loss_<term>
    TRAIN_ACCURACY: Final = "train/accuracy"
    VAL_ACCURACY_EPOCH: Final = "val/accuracy"
    VAL_NLL_EPOCH: Final = "val/nll"

    # once, at the end, of the checkpoint that is evaluated
    VAL_ACCURACY: Final = "val_accuracy"
    VAL_NLL: Final = "val_nll"
    VAL_IMAGES: Final = "val_images"  # of a trial: how many images its accuracy is of, in each split
    TEST_ACCURACY: Final = "test_accuracy"
    TEST_CLASS_ACCURACY: Final = "test_mean_class_accuracy"
    TEST_NLL: Final = "test_nll"
    TEST_ECE: Final = "test_ece"
    # of the network before training, on the same images: nearest class mean on its features (bench.training.run.unchanged)
    NCM_TEST_ACCURACY: Final = "ncm_test_accuracy"
    # what always saying the largest class would have, and the last epoch's training accuracy: see bench.core.collapse
    TEST_LARGEST_CLASS: Final = "test_largest_class"
    TRAIN_ACCURACY_END: Final = "train_accuracy"
    TRAIN_LARGEST_CLASS: Final = "train_largest_class"

    # of a search, on its run
    TUNED_VAL_ACCURACY: Final = "tuned_val_accuracy"  # of the chosen trial
    DEFAULT_VAL_ACCURACY: Final = "default_val_accuracy"  # of trial 0
    TUNED_VAL_SMOOTHED: Final = "tuned_val_accuracy_smoothed"
    DEFAULT_VAL_SMOOTHED: Final = "default_val_accuracy_smoothed"
    SMOOTHED_STANDARD_ERROR: Final = "val_accuracy_smoothed_se"  # of the difference between the two
    TRIALS_COMPLETE: Final = "trials_complete"
    TRIALS_PRUNED: Final = "trials_pruned"
    TRIALS_FAILED: Final = "trials_failed"
    TUNING_SECONDS: Final = "tuning_seconds"  # training and preparation of all its trials
    CHOSEN_TRIAL: Final = "chosen_trial"  # its number

    # cost
    PREPARE_SECONDS: Final = "prepare_seconds"
    TRAIN_SECONDS: Final = "train_seconds"
    EVAL_SECONDS: Final = "eval_seconds"
    TOTAL_SECONDS: Final = "total_seconds"
    TEACHER_SECONDS: Final = (
        "teacher_seconds"  # training the teacher, once for all runs that share it; not part of the total
    )
    # computing the activations of frozen layers that this run found in the cache: part of train and eval seconds, as
    # if it had computed them itself, so that a strategy's cost does not depend on who came first; not of the total
    CACHED_FEATURE_SECONDS: Final = "cached_feature_seconds"
    NCM_SECONDS: Final = (
        "ncm_seconds"  # what the score of the unchanged network took this run; of no other seconds
    )
    IMAGES_PER_SECOND: Final = "train_images_per_second"
    # of runs that train nothing but heads and were trained as one (bench.training.heads): how many. What each
    # would have done just so by itself counts in full in its seconds, what was done for all at once is divided by them
    VECTORIZED_RUNS: Final = "vectorized_runs"
    # of runs whose training steps did not fit into the device's memory: images that went through the network at once. Few
    # enough to fit, and as many as the batch size only where a batch had unlabelled images too
    # (bench.training.micro_batches)
    MICRO_BATCH: Final = "micro_batch"
    SAMPLES_SEEN: Final = "samples_seen"  # images that the training has seen, counted each time
    PEAK_MEMORY: Final = (
        "peak_memory_bytes"  # of the device that trains: CUDA allocations, or the process on CPU
    )
    PEAK_HOST_MEMORY: Final = "peak_host_memory_bytes"
    PARAMS_TRAINABLE: Final = "params_trainable"
    PARAMS_TOTAL: Final = "params_total"
    FLOPS: Final = "forward_flops_per_image"
    ENERGY: Final = "energy_joules"


@dataclass(frozen=True)
class Declaration:
    """What a metric is.

    Attributes:
        unit: "share" is a fraction in [0, 1].
        title: For people, as in the heading of a column.
    """

    key: str
    kind: Kind
    unit: str
    title: str


DECLARATIONS = (
    Declaration(Metric.TRAIN_LOSS, Kind.EPOCH, "nats", "training loss"),
    Declaration(Metric.TRAIN_ACCURACY, Kind.EPOCH, "share", "training accuracy"),
    Declaration(Metric.VAL_ACCURACY_EPOCH, Kind.EPOCH, "share", "validation accuracy by epoch"),
    Declaration(Metric.VAL_NLL_EPOCH, Kind.EPOCH, "nats", "validation NLL by epoch"),
    Declaration(Metric.VAL_ACCURACY, Kind.RESULT, "share", "validation accuracy"),
    Declaration(Metric.VAL_NLL, Kind.RESULT, "nats", "validation NLL"),
    Declaration(Metric.VAL_IMAGES, Kind.RESULT, "count", "validation images"),
    Declaration(Metric.TEST_ACCURACY, Kind.RESULT, "share", "test accuracy"),
    Declaration(Metric.TEST_CLASS_ACCURACY, Kind.RESULT, "share", "test accuracy, mean over classes"),
    Declaration(Metric.TEST_NLL, Kind.RESULT, "nats", "test NLL"),
    Declaration(Metric.TEST_ECE, Kind.RESULT, "share", "test calibration error (ECE)"),
    Declaration(Metric.NCM_TEST_ACCURACY, Kind.RESULT, "share", "test accuracy of the unchanged network"),
    Declaration(Metric.TEST_LARGEST_CLASS, Kind.RESULT, "share", "largest class among test labels"),
    Declaration(Metric.TRAIN_ACCURACY_END, Kind.RESULT, "share", "training accuracy, last epoch"),
    Declaration(Metric.TRAIN_LARGEST_CLASS, Kind.RESULT, "share", "largest class among training labels"),
    Declaration(Metric.TUNED_VAL_ACCURACY, Kind.SEARCH, "share", "validation accuracy of the chosen trial"),
    Declaration(Metric.DEFAULT_VAL_ACCURACY, Kind.SEARCH, "share", "validation accuracy of the defaults"),
    Declaration(Metric.TUNED_VAL_SMOOTHED, Kind.SEARCH, "share", "smoothed accuracy of the chosen trial"),
    Declaration(Metric.DEFAULT_VAL_SMOOTHED, Kind.SEARCH, "share", "smoothed accuracy of the defaults"),
    Declaration(Metric.SMOOTHED_STANDARD_ERROR, Kind.SEARCH, "share", "standard error of their difference"),
    Declaration(Metric.TRIALS_COMPLETE, Kind.SEARCH, "count", "complete trials"),
    Declaration(Metric.TRIALS_PRUNED, Kind.SEARCH, "count", "pruned trials"),
    Declaration(Metric.TRIALS_FAILED, Kind.SEARCH, "count", "failed trials"),
    Declaration(Metric.TUNING_SECONDS, Kind.SEARCH, "s", "search time"),
    Declaration(Metric.CHOSEN_TRIAL, Kind.SEARCH, "count", "number of the chosen trial"),
    Declaration(Metric.PREPARE_SECONDS, Kind.COST, "s", "preparation time"),
    Declaration(Metric.TRAIN_SECONDS, Kind.COST, "s", "training time"),
    Declaration(Metric.EVAL_SECONDS, Kind.COST, "s", "evaluation time"),
    Declaration(Metric.TOTAL_SECONDS, Kind.COST, "s", "total time"),
    Declaration(Metric.TEACHER_SECONDS, Kind.COST, "s", "teacher's training time"),
    Declaration(Metric.CACHED_FEATURE_SECONDS, Kind.COST, "s", "time of cached features"),
    Declaration(Metric.NCM_SECONDS, Kind.COST, "s", "time of scoring the unchanged network"),
    Declaration(Metric.IMAGES_PER_SECOND, Kind.COST, "1/s", "training images per second"),
    Declaration(Metric.VECTORIZED_RUNS, Kind.COST, "count", "runs trained as one"),
    Declaration(Metric.MICRO_BATCH, Kind.COST, "count", "images at once"),
    Declaration(Metric.SAMPLES_SEEN, Kind.COST, "count", "samples seen"),
    Declaration(Metric.PEAK_MEMORY, Kind.COST, "bytes", "peak memory"),
    Declaration(Metric.PEAK_HOST_MEMORY, Kind.COST, "bytes", "peak host memory"),
    Declaration(Metric.PARAMS_TRAINABLE, Kind.COST, "count", "trainable parameters"),
    Declaration(Metric.PARAMS_TOTAL, Kind.COST, "count", "parameters"),
    Declaration(Metric.FLOPS, Kind.COST, "FLOP", "forward FLOPs per image"),
    Declaration(Metric.ENERGY, Kind.COST, "J", "energy"),
)
"""Every metric of `Metric`, in the order of columns. Terms of the loss and learning rates come on top of them: their names
depend on the strategy."""

END_METRICS = [each.key for each in DECLARATIONS if each.kind in (Kind.RESULT, Kind.COST)]
"""Metrics with one value per run that counts."""
