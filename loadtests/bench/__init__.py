"""Benchmarks of the recommender service; docs/performance.md has their results. No test imports this package."""
