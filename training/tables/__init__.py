"""The item tables of a generation that are counted from the log: popularity, neighbours, context lift."""
