"""Fast load generator of the benchmarks, which needs less CPU for each request than Locust."""
