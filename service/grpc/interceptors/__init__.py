"""Interceptors of the gRPC server: what happens to a call before its handler, by its metadata alone."""
