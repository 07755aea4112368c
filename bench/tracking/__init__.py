"""The only writer of MLflow: one experiment a study, one MLflow run a RunSpec.

`plain` is data without MLflow; `client` configures it; `experiment`, `runs` and `stale_runs` write.
"""
