"""Prefect's settings as Tandem wants them, each only where the environment says nothing else. Imports no Prefect."""

from __future__ import annotations

import os
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import SettingsError

DEFAULTS = {
    # For a flow that is called without our command line: Prefect's own server took 7 to 18 s and is given up after 20.
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


def make_prefect_home() -> Path:
    """Make the folder of PREFECT_HOME with its parents, which Prefect does not; SettingsError where it can't be."""
    home = Path(os.environ["PREFECT_HOME"]).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
        return home
    except OSError as error:
        raise SettingsError(
            f"{home} can't be made ({error.strerror}). Set TANDEM_HOME to a folder that can be written."
        ) from error
