"""Soak test: a long load on a deployment while its models are swapped, to find leaks of memory and file descriptors."""
