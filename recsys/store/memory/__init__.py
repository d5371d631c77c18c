"""The store in memory, for unit tests without Redis. It passes the same contract tests as the store in Redis."""
