"""Version 1 of the gRPC interface: `recommender.proto`, and the Python code that `make proto` generates from it."""
