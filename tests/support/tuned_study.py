"""A tuned study of seconds, with defaults far off, so that its searches find better."""

from __future__ import annotations

STUDY = """
name: tuned
datasets:
  - name: synthetic/fine
    options: {pool_per_class: 12, test_per_class: 5}
    similarity: similar
    n_per_class: [10]
backbones:
  - {name: test_resnet, random: true}
strategies: [full + head_x10, logreg]
seeds: 2
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 16, epochs: 3}
hyperparameters: {full: {lr: 0.0001}}  # far too low, so that the search finds better
tune: {trials: 4, choice: highest}  # on so few images the defaults would be kept else
system_metrics: false
"""
