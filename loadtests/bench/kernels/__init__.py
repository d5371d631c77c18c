"""The compiled kernels and exact search, each beside other implementations."""
