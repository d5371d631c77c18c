"""Generations in the processes that serve: which ones a process holds, and which one the gateway answers from."""

PINNED = "BENTO_PINNED"
"""The environment variable with the folder of the generation that the bento pins."""
