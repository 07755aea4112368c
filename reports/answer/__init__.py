"""The answer page: what a study of many datasets says of the decision matrix, each dataset one observation.

`page.py` lists the sections in order; `overview.py` computes what they and the figures show. No store is asked: a study and
its runs are given, as a file of `bench export` holds them.
"""
