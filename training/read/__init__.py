"""Stage 1, read: the tables of a dataset and collected events, checked; bad rows are set aside with their reason."""
