"""From an interactions log to a generation: dataset, split, loss, fit, evaluate, export.

Runs without Prefect and without a store. Knows nothing of `service`.
"""
