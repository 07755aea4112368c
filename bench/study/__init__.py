"""A study: the YAML that a person writes, validated, and the plan of runs that it expands to. Torch-free."""
