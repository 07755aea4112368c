"""The names under which a run is stored: shared by the writer (`bench.tracking`) and the reader (`reports`).

Changing a name here orphans what existing stores hold. Nothing heavy is imported.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of a planned run."""

    FINISHED = "finished"
    FAILED = "failed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    KILLED = "killed"
    RUNNING = "running"
    MISSING = "missing"


class Purpose(StrEnum):
    """Why an MLflow run exists. Comparisons use `FINAL` only."""

    FINAL = "final"
    TUNING = "tuning"  # one per search: parent of its trials
    TRIAL = "trial"
    STUDY = "study"  # one per experiment: holds the study file and the report as artifacts
    DRIVER = "driver"  # one while a `bench run` drives the study over a server (bench.tracking.lease)


class Tag:
    """MLflow tag keys. Tags are what a person filters and groups by."""

    RUN_ID = "bench.run_id"  # hash of the resolved RunSpec: the identity of a run
    STATUS = "bench.status"  # finer than MLflow's own status; written last
    PURPOSE = "purpose"
    ERROR = "bench.error"
    CELL = "cell"  # "similar-small", ...
    SIMILARITY = "similarity"  # "similar" | "dissimilar", as declared by the study
    SIZE = "size"  # "small" | "large"
    DATASET = "dataset"
    N_PER_CLASS = "n_per_class"
    BACKBONE = "backbone"
    STRATEGY = "strategy"
    FREEZE = "freeze"
    LR_POLICY = "lr_policy"
    REGULARIZE = "regularize"
    SEED = "seed"
    SETTING = "setting"  # "default" hyperparameters, "tuned", or "both" (bench.tracking.plain)
    TUNING_ID = "bench.tuning_id"  # identity of a search, without its budget
    BUDGET = "bench.budget"  # of a search that is over: "12 trials"
    CHOSEN = "bench.chosen"  # of a search that is over: JSON, "part.hyperparameter" -> value
    TRIAL = "trial"  # number of a trial
    PARENT = "mlflow.parentRunId"
    DEVICE = "device"
    NOT_VECTORIZED = "not_vectorized"  # of a run that was not trained as one with those beside it: why
    CPU_KERNELS = "cpu_kernels"  # bench.training.cpu_kernels: "on", "off", or why off; a GPU uses none
    PRECISION = "precision"  # what was computed in: "fp32" or "bf16"
    HOST = "bench.host"
    PID = "bench.pid"  # "pid:start" of the process that writes the run
    ATTEMPT = (
        "bench.attempt"  # of the attempt at a run: tells whether the store has made it, where no answer came
    )
    DRIVER = "bench.execution.driver"  # of a driver: "starts", then "holds" the study
    BEAT = "bench.beat"  # of a driver: a number that changes while it lives
    GIT_COMMIT = "mlflow.source.git.commit"  # MLflow's own: its UI links it
    VERSIONS = "bench.versions"


class Metric:
    """MLflow metric keys. Accuracies are fractions in [0, 1]; times are seconds; memory is bytes."""

    # per epoch (step = epoch over all phases, from 1)
    TRAIN_LOSS = "train/loss"  # the sum; each term is train/loss_<term>
    TRAIN_ACCURACY = "train/accuracy"
    VAL_ACCURACY_EPOCH = "val/accuracy"
    VAL_NLL_EPOCH = "val/nll"

    # once, at the end, of the checkpoint that is evaluated
    VAL_ACCURACY = "val_accuracy"
    VAL_NLL = "val_nll"
    TEST_ACCURACY = "test_accuracy"
    TEST_CLASS_ACCURACY = "test_mean_class_accuracy"
    TEST_NLL = "test_nll"
    TEST_ECE = "test_ece"
    # of the network before training, on the same images: nearest class mean on its features (bench.training.run.unchanged)
    NCM_TEST_ACCURACY = "ncm_test_accuracy"

    # of a search, on its run
    TUNED_VAL_ACCURACY = "tuned_val_accuracy"  # of the chosen trial
    DEFAULT_VAL_ACCURACY = "default_val_accuracy"  # of trial 0
    TRIALS_COMPLETE = "trials_complete"
    TRIALS_PRUNED = "trials_pruned"
    TRIALS_FAILED = "trials_failed"
    TUNING_SECONDS = "tuning_seconds"  # training and preparation of all its trials

    # cost
    PREPARE_SECONDS = "prepare_seconds"
    TRAIN_SECONDS = "train_seconds"
    EVAL_SECONDS = "eval_seconds"
    TOTAL_SECONDS = "total_seconds"
    TEACHER_SECONDS = (
        "teacher_seconds"  # training the teacher, once for all runs that share it; not part of the total
    )
    # computing the activations of frozen layers that this run found in the cache: part of train and eval seconds, as
    # if it had computed them itself, so that a strategy's cost does not depend on who came first; not of the total
    CACHED_FEATURE_SECONDS = "cached_feature_seconds"
    NCM_SECONDS = "ncm_seconds"  # what the score of the unchanged network took this run; of no other seconds
    IMAGES_PER_SECOND = "train_images_per_second"
    # of runs that train nothing but heads and were trained as one (bench.training.heads): how many. What each
    # would have done just so by itself counts in full in its seconds, what was done for all at once is divided by them
    VECTORIZED_RUNS = "vectorized_runs"
    # of runs whose training steps did not fit into the device's memory: images that went through the network at once. Few
    # enough to fit, and as many as the batch size only where a batch had unlabelled images too
    # (bench.training.micro_batches)
    MICRO_BATCH = "micro_batch"
    SAMPLES_SEEN = "samples_seen"  # images that the training has seen, counted each time
    PEAK_MEMORY = "peak_memory_bytes"  # of the device that trains: CUDA allocations, or the process on CPU
    PEAK_HOST_MEMORY = "peak_host_memory_bytes"
    PARAMS_TRAINABLE = "params_trainable"
    PARAMS_TOTAL = "params_total"
    FLOPS = "forward_flops_per_image"
    ENERGY = "energy_joules"


END_METRICS = [
    value
    for name, value in vars(Metric).items()
    if name.isupper() and "/" not in value and not name.startswith(("TUN", "TRIALS", "DEFAULT"))
]
"""Metrics with one value per run that counts."""

IMPORTANCE = "importance/"
"""Prefix of a search's metrics: the share of each hyperparameter in the variance of validation accuracy."""

CELLS = ["similar-small", "similar-large", "dissimilar-small", "dissimilar-large"]
"""The decision matrix, row by row."""

ARTIFACT_STUDY = "study.json"  # the resolved study, artifact of the Purpose.STUDY run
ARTIFACT_REPORT = "report"  # folder of report.md, report.html and figures, artifact of the same run


class Measure:
    """How near a target is to a backbone and its source: see docs/similarity.md. Kept in study documents."""

    FRECHET_STEM = "frechet_stem"
    FRECHET_TOP = "frechet_penultimate"
    EMD = "emd_similarity"
    LOGME = "logme"
    LEEP = "leep"
    H_SCORE = "h_score"
    KNN = "knn_accuracy"
    PROBE = "probe_accuracy"


MEASURES = {
    Measure.FRECHET_STEM: "Fréchet distance, stem",
    Measure.FRECHET_TOP: "Fréchet distance, penultimate",
    Measure.EMD: "EMD domain similarity",
    Measure.LOGME: "LogME",
    Measure.LEEP: "LEEP",
    Measure.H_SCORE: "H-score",
    Measure.KNN: "kNN accuracy",
    Measure.PROBE: "linear-probe accuracy",
}
"""Titles, in the order of tables."""

DISTANCES = {Measure.FRECHET_STEM, Measure.FRECHET_TOP}
"""The measures of which less is nearer; of the others more is."""
