"""Read the tables of a dataset: parse their cells, set bad rows aside, and check what the mapping leaves open."""
