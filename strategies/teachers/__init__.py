"""Teachers and unlabelled images."""
