"""Plain numpy and torch versions of the ranker's features and the user model, to check the compiled code against."""
