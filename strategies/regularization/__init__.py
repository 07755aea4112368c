"""Regularisers of the loss, the weights, the data or the targets."""
