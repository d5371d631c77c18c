"""The report of each measurement."""
