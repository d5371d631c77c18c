"""Version 1: `recommender.proto` and what `make proto` makes of it."""
