"""Retrieval: the candidate sources and their registry."""
