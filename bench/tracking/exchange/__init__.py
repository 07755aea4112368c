"""A study in one file: `bench export` writes it from a store, `bench import` fills a store from it.

`file` is the format (docs/evidence-file.md), `exporting` and `importing` are the two ways.
"""
