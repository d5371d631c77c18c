"""Stage 2, encode: the tables as arrays (log and catalogue), and which events train, are labels or are tests."""
