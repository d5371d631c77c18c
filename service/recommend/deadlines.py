"""How long a caller gives an answer, as it says so itself."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.errors import QueryError

HEADER = "x-deadline-ms"
MOST_MS = 999_999


def asked_seconds(told: Sequence[str | bytes]) -> float | None:
    """Seconds that `x-deadline-ms` gives, None where it is not there; QueryError for what is no time, or for two."""
    if not told:
        return None
    first = told[0].strip(" \t") if isinstance(told[0], str) else told[0]  # HTTP ignores spaces around a value
    if not (len(told) == 1 and isinstance(first, str) and _is_time(first)):
        raise QueryError(f"Send milliseconds, a whole number from 1 to {MOST_MS}.", HEADER)
    return int(first) / 1000


def _is_time(told: str) -> bool:
    return told.isascii() and told.isdigit() and len(told) <= len(str(MOST_MS)) and int(told) > 0
