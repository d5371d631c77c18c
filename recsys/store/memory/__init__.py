"""The store in memory, for unit tests. It passes the same contract tests as the store in Redis."""
