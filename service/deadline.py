"""How long a caller gives an answer, as it says so itself."""

from __future__ import annotations

from recsys.errors import QueryError

HEADER = "x-deadline-ms"
MOST_MS = 999_999


def asked_seconds(told: str | None) -> float | None:
    """Seconds that `x-deadline-ms` gives, None where it is not there; QueryError for what is no time."""
    if told is None:
        return None
    if not (told.isascii() and told.isdigit() and len(told) <= len(str(MOST_MS)) and int(told)):
        raise QueryError(f"Send milliseconds, a whole number from 1 to {MOST_MS}.", HEADER)
    return int(told) / 1000
