"""The faults of `make chaos`: each function injects one under load, removes it and judges the answers.

A fault leaves the deployment as it was: `pair.first` is live and served.
"""
