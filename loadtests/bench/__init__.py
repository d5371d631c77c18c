"""The measurements behind docs/performance.md. No test imports this package."""
