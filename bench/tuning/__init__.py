"""The search for a strategy's hyperparameters: what is searched, for what budget, and by which of Optuna's samplers."""
