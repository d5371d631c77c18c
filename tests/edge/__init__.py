"""What a stranger may try at a door, and what comes of it."""
