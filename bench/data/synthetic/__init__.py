"""The three image families that the procedural world is made of."""
