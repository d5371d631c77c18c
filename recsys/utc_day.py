"""The day of a moment, in UTC, as the names of folders have it."""

from __future__ import annotations

import time

DAY_SECONDS = 86_400


def day_of(moment: float) -> str:
    """The day of a moment, such as 2026-12-01. moment: unix seconds."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
