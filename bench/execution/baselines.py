"""Scores of unchanged networks that the runs of a study lack: as jobs, and for which runs. Torch-free.

Runs do not wait for them. A score is a job beside the runs (`bench.training.run.unchanged` computes it, once for all
strategies); runs that end later find it in the cache, and those that ended before get it from the driver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from bench.core.errors import last_line
from bench.core.jobs import Ended, Job
from bench.core.spec import RunSpec, content_hash
from bench.planning.plan import PlannedRun
from bench.storage.places import Places

FUNCTION = "bench.execution.worker:score_unchanged"


def key_of(spec: RunSpec) -> str:
    """Equal for runs that share a score: all that decides it, and no strategy."""
    train = spec.train
    settings = [train.val_share, train.fit, train.image_size, train.augment, train.dtype]
    images = [asdict(spec.dataset), spec.n_per_class, spec.seed, spec.split]
    return content_hash([images, spec.backbone.decisive(), settings])


@dataclass
class Baselines:
    """found: accuracies by key. asked: keys that have a job, or had one."""

    places: Places
    found: dict[str, float] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def jobs(self, runs: Iterable[PlannedRun]) -> list[Job]:
        """One for each score that these runs need and that was not asked for yet."""
        jobs = []
        for run in runs:
            key = key_of(run.spec)
            if key not in self.asked:
                self.asked.add(key)
                label = (
                    f"{run.dataset} n={run.spec.n_per_class}, {run.spec.backbone.label}, seed {run.spec.seed}"
                )
                jobs.append(Job(f"unchanged:{key}", FUNCTION, (run.spec, self.places), label))
        return jobs

    def take_in(self, event: Ended) -> str | None:
        """Take in what a job came to. -> why there is no score, where there is none."""
        if event.user_error or event.crash:
            return event.user_error or last_line(event.crash or "")
        if event.result is None:
            return "out of memory"
        self.found[event.job.key.removeprefix("unchanged:")] = event.result
        return None

    def of(self, runs: Iterable[PlannedRun]) -> dict[str, float]:
        """The scores that are known, by the identity of the runs."""
        keys = {run.run_id: key_of(run.spec) for run in runs}
        return {run_id: self.found[key] for run_id, key in keys.items() if key in self.found}
