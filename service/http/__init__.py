"""The HTTP door and the admin port: the ASGI app of the verbs, and its middleware."""
