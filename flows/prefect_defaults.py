"""Prefect's settings as Tandem wants them, each only where the environment says nothing else. Imports no Prefect."""

from __future__ import annotations

import os

from recsys.environment import Environment

DEFAULTS = {
    # Without an API URL every run starts a server of its own; it took 7 to 18 s, and Prefect gives up after 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def set_prefect_defaults() -> None:
    """Fill in what the environment leaves open. State goes to TANDEM_HOME, never to the user's home."""
    os.environ.setdefault("PREFECT_HOME", str(Environment.read().home / "prefect"))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
