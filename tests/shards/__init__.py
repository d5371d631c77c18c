"""Retrieval in shards as real processes: the deployment that the tests use, and the proof in a large catalogue."""
