"""The verbs of the command line: their arguments, and how they print results."""
