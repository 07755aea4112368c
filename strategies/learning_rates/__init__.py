"""Learning-rate policies: which rate each parameter group gets."""
