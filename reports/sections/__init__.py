"""The report's sections, a file each: its table, its caption, its sentences, and when it is shown.

A section is a function `section(study: Analysis) -> list[Block]`. Their order: `SECTIONS` in `reports.report`.
"""
