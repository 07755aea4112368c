"""The three image families that synthetic datasets are drawn from."""
