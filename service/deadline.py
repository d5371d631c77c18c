"""How long a caller gives an answer, as it says so itself."""

from __future__ import annotations

import math

from recsys.errors import QueryError

HEADER = "x-deadline-ms"


def asked_seconds(told: str | None) -> float | None:
    """Seconds that `x-deadline-ms` gives, None where it is not there; QueryError where it is no number above 0."""
    if told is None:
        return None
    try:
        milliseconds = float(told)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise QueryError("Send a number of milliseconds above 0.", HEADER)
    return milliseconds / 1000
