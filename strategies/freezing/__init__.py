"""Freezing schedules: what trains, and when."""
