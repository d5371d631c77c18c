"""Readers of a dataset's CSV and Parquet tables: parse cells, set bad rows aside, check ids, times and event types."""
