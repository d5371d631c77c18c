"""Benchmark of a ranker that learns from slates that users were shown (impressions)."""
