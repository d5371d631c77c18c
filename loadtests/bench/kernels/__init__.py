"""Benchmarks of the service's Numba kernels (compiled functions) and exact search, beside other implementations."""
