"""No regulariser: cross-entropy alone, weight decay off."""

from bench.methods.api import Transform


class NoRegulariser(Transform):
    """Plain cross-entropy without weight decay."""

    when = "The default: what every regulariser is compared with."
    against = "Small sets overfit."
