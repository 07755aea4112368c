"""Faster CPU kernels for convolutions and attention, in place of torch's where they were measured to win."""
