"""Benchmark of exact search beside other implementations."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def extra(name: str) -> Any:
    """Import a package of the extra `bench`. End the process with a sentence if the package is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        sys.exit(f"tandem: {name} is not installed; `make .venv/installed-bench` installs the packages of the peers.")
