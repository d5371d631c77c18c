"""Real servers and commands for tests: the service, Redis, HAProxy, Prefect, S3 and Locust."""
