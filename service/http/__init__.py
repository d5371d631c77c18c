"""The HTTP server and the admin port: the ASGI app with the endpoints, and its middleware."""
