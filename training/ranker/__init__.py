"""Training of the ranker, the network that orders retrieved candidates, or of a simple order where examples are few."""
