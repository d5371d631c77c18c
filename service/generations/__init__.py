"""The generations that a process holds, and the one that the gateway answers from."""

PINNED = "BENTO_PINNED"
"""The environment variable with the folder of the generation that the bento pins."""
