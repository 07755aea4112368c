"""The training loop and what it needs: optimizers, evaluation, cached features, one run from data to scores."""
