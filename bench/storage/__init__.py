"""Files that are whole or absent: arrays, weights, checksums, locks, and where the store and the cache are."""
