"""How much of a study's time is the harness's own: `python tests/benchmarks/overhead.py STUDY WORKERS [STORE]`.

Run the study first, in one go. Prints, over the span from the first run's start to the last one's end, the share
that is not training, evaluation or preparation (decoding, splitting, building the network), as those runs logged them.
"""

from __future__ import annotations

import sys
from statistics import median

from bench.core.schema import Metric, Tag
from bench.storage.places import store_uri
from bench.tracking import store

WORK = (Metric.PREPARE_SECONDS, Metric.TRAIN_SECONDS, Metric.EVAL_SECONDS)


def main(study: str, workers: str, uri: str | None = None) -> None:
    runs = [
        run
        for run in store.read_runs(store_uri(uri), study)
        if run.tags.get(Tag.PURPOSE) == "final" and run.mlflow_status == "FINISHED"
    ]
    inside = [  # what a run took from a cache is in its times, but was not computed in it
        sum(run.metrics[key] for key in WORK) - run.metrics.get(Metric.CACHED_FEATURE_SECONDS, 0.0)
        for run in runs
    ]
    starts, ends = ([getattr(run, key) / 1000 for run in runs] for key in ("start_time", "end_time"))
    wall = (max(ends) - min(starts)) * int(workers)
    logged = [end - start - work for start, end, work in zip(starts, ends, inside, strict=True)]
    prepare = [run.metrics[Metric.PREPARE_SECONDS] for run in runs]
    print(
        f"{len(runs)} runs, median {median(inside):.2f} s of work, {wall:.1f} worker-seconds from first start to last end"
    )
    print(f"outside training, evaluation and preparation: {1 - sum(inside) / wall:.2%} of the time")
    print(
        f"of it within a run {median(logged):.3f} s, between runs {(wall - sum(inside) - sum(logged)) / len(runs):.3f} s"
    )
    print(f"preparation itself (data and network): {median(prepare):.3f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
