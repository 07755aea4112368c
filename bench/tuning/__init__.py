"""The search for a strategy's knobs: what is searched, for what budget, and by which of Optuna's samplers."""
