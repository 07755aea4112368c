"""What a store holds, as types: a run, a search, a study. Each is written in one place and read by one function.

| type | what | written by | read by |
|---|---|---|---|
| `runs.RunRecord` | an MLflow run | `bench.tracking.runs`, `.log` | `bench.tracking.store.read_runs` |
| `searches.SearchRecord` | the end of a search, on its run | `bench.tracking.runs` | `SearchRecord.of` |
| `study.StudyRecord` | the study document `study.json` | `bench.tracking.experiment` | `bench.tracking.store.read_study` |
| `planned.PlannedRow` | a planned run's place in the matrix | with the study | with the study |
| `measures.MeasuresRecord` | measures of similarity | with the study, the cache | with the study, the cache |
| `predictions.Predictions` | a run's `predictions.npz` | `bench.execution.worker` | `bench.tracking.predictions` |
| `results.Result` | what a worker tells the driver | `bench.execution.worker` | `bench.execution.queue` |

Plain frozen data: neither MLflow nor torch.
"""
