"""Tests of a replicated store, its failover and its backups, on real servers and Sentinels."""
