"""Attacks on the HTTP and gRPC servers behind the proxy (the edge), and their effect on other clients."""
