"""The store in a dict, for unit tests. It passes the same contract tests as the store in Redis."""
