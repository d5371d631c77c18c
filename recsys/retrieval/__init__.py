"""Retrieval, the first stage: find up to 512 candidate items for a user in several ways. The ranker orders them."""
