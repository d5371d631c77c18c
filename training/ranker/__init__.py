"""Train the ranker, or choose a simple order where a ranker does not help."""
