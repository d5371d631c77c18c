"""Generations (trained sets of models and tables) in a server process: which it loads, and which answers requests."""

PINNED = "BENTO_PINNED"
"""The environment variable with the folder of the generation that the bento pins."""
