"""Evaluation of a trained model: split a log, rank items for test users, compare with baselines and the live model."""
