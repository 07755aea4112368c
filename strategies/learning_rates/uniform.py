"""Uniform learning rate: every trained group at the strategy's own rate."""

from bench.methods.api import Transform


class Uniform(Transform):
    """One learning rate for all trained layers."""

    when = "The default."
    against = (
        "The new head wants a higher rate than the pretrained backbone: the documents all train it faster."
    )
