"""What a strategy is written against, and what "frozen" means."""
