"""One phase after another: optimisation, evaluation, checkpoints, cost."""
