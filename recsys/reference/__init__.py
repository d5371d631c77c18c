"""The features and the user tower in plain numpy and torch: the compiled kernels give the same values."""
