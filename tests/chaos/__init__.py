"""Chaos tests: break parts of a running service, such as Redis, the disk or its workers, and judge its answers."""
