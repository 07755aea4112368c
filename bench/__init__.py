"""The harness: plans a study, runs it, tracks every run. Knows no particular strategy."""
