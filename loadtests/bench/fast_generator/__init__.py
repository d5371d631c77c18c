"""The load generator of the measurements: it costs less CPU a request than Locust."""
