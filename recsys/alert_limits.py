"""Limits above which alerts fire, for the flows, the alert rules, the dashboards and the page /operations."""

from __future__ import annotations

SKEW_SHARE = 0.01
"""Share of logged values of a feature that may differ from the values recomputed from the store."""

LEAST_ALERTING = 0.001
"""Least share of failed requests that alerts, where slo.toml allows none: a single failure wakes no person."""
