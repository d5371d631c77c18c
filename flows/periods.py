"""How often the flows that follow users run, and how long they wait. Imports no Prefect: the command line reads it."""

from __future__ import annotations

REFRESH_SECONDS, DRAIN_SECONDS = 120.0, 600.0

WAIT_SECONDS = 1_800.0
OF_WAIT = "seconds after a slate in which an action is its label"
"""The same for people: on the command line and in Prefect's form."""
