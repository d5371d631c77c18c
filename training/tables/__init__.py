"""The tables of a generation that are counted from the log: neighbours, context lift, columns of items."""
