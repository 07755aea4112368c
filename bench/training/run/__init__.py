"""One run, from data to scores."""
