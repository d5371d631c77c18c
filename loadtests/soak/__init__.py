"""A long run with swaps of the generation."""
