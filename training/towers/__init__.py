"""Training of the towers, the two networks that turn a user's history and an item into vectors."""
