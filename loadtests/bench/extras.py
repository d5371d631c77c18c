"""Packages that some commands here need beyond what serves, or a sentence that says how to have them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def extra(name: str) -> Any:
    """A package of the extra `bench`; ends the process where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        sys.exit(f"tandem: {name} is not installed; `make .venv/installed-bench` installs what is measured against.")
