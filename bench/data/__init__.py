"""Datasets: named, decoded once into uint8 arrays, split, augmented in batches."""
