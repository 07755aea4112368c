"""The commands, and what is printed."""
