"""Changes of the network's structure."""
