"""Stage 4, rank: the ranker, the network that orders candidates, or a simple order where examples are few."""
