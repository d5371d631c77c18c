"""Measurements: the deployment beside its peers, and every figure of docs/performance.md. No test imports this package."""
