"""Replay logged slates with the models and rules of a target policy: the probabilities that it gives to items."""
