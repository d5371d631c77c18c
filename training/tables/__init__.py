"""The item tables of a trained model, counted from the log: popularity, neighbours and context lifts of items."""
