"""Measurements of the compiled kernels and of exact search beside other implementations."""
