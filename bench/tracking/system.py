"""MLflow's system metrics, through the queue of the run that they are of: a store that is away loses none.

What is used of MLflow's monitor: `bench.tracking.compat.MONITOR`.
"""

from __future__ import annotations

from collections.abc import Callable

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class Monitor(SystemMetricsMonitor):
    """MLflow's monitor, which samples in a thread of its own, writing to `record(step, metrics)` in place of the store.

    MLflow's asks the store at each sample whether the run goes on, and ends where it gets no answer.
    """

    def __init__(self, record: Callable[[int, dict[str, float]], None], tracking_uri: str) -> None:
        super().__init__("", tracking_uri=tracking_uri)  # type: ignore[no-untyped-call]
        self._record = record

    def monitor(self) -> None:
        while True:
            for _ in range(self.samples_before_logging):
                if self._shutdown_event.wait(self.sampling_interval):
                    return
                self.collect_metrics()
            self.publish_metrics(self.aggregate_metrics())

    def publish_metrics(self, metrics: dict[str, float]) -> None:
        prefix = self._metrics_prefix + (f"{self.node_id}/" if self.node_id else "")
        self._record(self._logging_step, {prefix + key: value for key, value in metrics.items()})
        self._logging_step += 1
        for monitor in self.monitors:
            monitor.clear_metrics()

    def finish(self) -> None:
        """Stop, with one more sample: a run shorter than the interval (10 s) would have none."""
        super().finish()  # type: ignore[no-untyped-call]
        self.collect_metrics()
        self.publish_metrics(self.aggregate_metrics())
