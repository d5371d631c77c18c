"""Measure a model: split a log, rank, compare with baselines and with the live generation."""
