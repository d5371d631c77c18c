"""Faults of the chaos tests (`make chaos`): each function injects one under load, repairs it and judges the answers.

A fault leaves the service as it was: the generation (set of trained models) `pair.first` is live and served.
"""
