"""The commands of `python -m flows`: their arguments, and how they print results."""
