"""Fakes of parts of the service, for tests that run in one process."""
