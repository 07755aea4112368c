"""One run, from data to scores, and what it is made of."""
