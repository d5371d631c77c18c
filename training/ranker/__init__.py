"""Train the ranker, or choose a simple order where too few examples train a better ranker."""
