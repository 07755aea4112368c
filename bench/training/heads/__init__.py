"""Heads of many runs, trained as one."""
