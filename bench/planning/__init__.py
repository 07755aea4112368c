"""From a study file to a plan of runs: torch-free."""
