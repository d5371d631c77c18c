"""The doors over HTTP: the ASGI app of the verbs, and what stands before it."""
