"""Stand-ins for parts of the deployment, for tests that run in one process."""
