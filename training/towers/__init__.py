"""Train the user tower and the item tower."""
