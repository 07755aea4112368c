"""The names under which a run is stored: shared by the writer (`bench.tracking`) and the reader (`reports`).

Changing a name here orphans what existing stores hold. Nothing heavy is imported.
"""

from __future__ import annotations

from enum import StrEnum

from bench.core.metrics import END_METRICS as END_METRICS
from bench.core.metrics import Metric as Metric


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
    TEST_SET = (
        "bench.test_set"  # of a run whose predictions are kept: digest of the test set that they are of
    )
    COLLAPSED = (
        "collapsed"  # of a run no better than always saying the largest class: "test", "training" or both
    )
    CPU_KERNELS = "cpu_kernels"  # bench.training.cpu_kernels: "on", "off", or why off; a GPU uses none
    PRECISION = "precision"  # what was computed in: "fp32" or "bf16"
    HOST = "bench.host"
    PID = "bench.pid"  # "pid:start" of the process that writes the run
    ATTEMPT = (
        "bench.attempt"  # of the attempt at a run: tells whether the store has made it, where no answer came
    )
    DRIVER = "bench.execution.driver"  # of a driver: "starts", then "holds" the study
    BEAT = "bench.beat"  # of a driver: a number that changes while it lives
    IMPORTED = "bench.imported"  # of a run that `bench import` has brought into this store: from which file
    GIT_COMMIT = "mlflow.source.git.commit"  # MLflow's own: its UI links it
    VERSIONS = "bench.versions"
    PLANNED_SEEDS = (
        "bench.planned_seeds"  # of a study: the most that were planned when its estimates were shown
    )


IMPORTANCE = "importance/"
"""Prefix of a search's metrics: the share of each hyperparameter in the variance of validation accuracy."""

LOOK = "bench.look."
"""Prefix of the study run's tags that are its ledger of looks at verdicts: `bench.core.records.looks`."""

CELLS = ["similar-small", "similar-large", "dissimilar-small", "dissimilar-large"]
"""The decision matrix, row by row."""

ARTIFACT_STUDY = "study.json"  # the resolved study, artifact of the Purpose.STUDY run
ARTIFACT_PREDICTIONS = "predictions.npz"  # of a finished run: bench.core.records.predictions
ARTIFACT_REPORT = "report"  # folder of report.md, report.html and figures, artifact of the same run


class Measure:
    """How near a target is to a backbone and its source: see docs/similarity.md. Kept in study documents."""

    FRECHET_STEM = "frechet_stem"
    FRECHET_TOP = "frechet_penultimate"
    BATCH_NORM = "batch_norm_distance"
    EMD = "emd_similarity"
    LOGME = "logme"
    LEEP = "leep"
    H_SCORE = "h_score"
    KNN = "knn_accuracy"
    PROBE = "probe_accuracy"


MEASURES = {
    Measure.FRECHET_STEM: "Fréchet distance, stem",
    Measure.FRECHET_TOP: "Fréchet distance, penultimate",
    Measure.BATCH_NORM: "BatchNorm distance",
    Measure.EMD: "EMD domain similarity",
    Measure.LOGME: "LogME",
    Measure.LEEP: "LEEP",
    Measure.H_SCORE: "H-score",
    Measure.KNN: "kNN accuracy",
    Measure.PROBE: "linear-probe accuracy",
}
"""Titles, in the order of tables."""

DISTANCES = {Measure.FRECHET_STEM, Measure.FRECHET_TOP, Measure.BATCH_NORM}
"""The measures of which less is nearer; of the others more is."""
