"""Deletions of users in Redis: from the records and lists of generations, and from streams."""
