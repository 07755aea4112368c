"""What everything else is written in: errors, specs, names of tags and metrics, seeds, processes."""
