"""Speed, as ratios against what a user would pick instead: `python -m tests.benchmarks.speed`, or `make
benchmark`.

A comparison runs its sides in turn, A B A B, in one process on one core with one torch thread: same images,
batch size, epochs, augmentation, optimiser, schedule and first weights; their accuracies are printed side
by side. A ratio is of processor time, taken within a round; medians and ranges are over rounds.
"""
