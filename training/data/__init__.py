"""Read the files of a dataset into an interactions log: mapping, checks of rows and values, arrays."""
