"""Servers to compare with the service in the benchmark: they recommend the same items, with common libraries."""
