"""Learning-rate schedules: how rates change with progress."""
