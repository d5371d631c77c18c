"""Reading of a dataset: its CSV or Parquet files become checked tables, and then the arrays that training uses."""
