"""Real servers and commands that tests start: the deployment, stores, proxies, Prefect, S3, Locust."""
