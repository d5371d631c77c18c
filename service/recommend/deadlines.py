"""The deadline that a client may send with a request, in the header `x-deadline-ms`."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.errors import QueryError

HEADER = "x-deadline-ms"
MOST_MS = 999_999


def requested_seconds(values: Sequence[str | bytes]) -> float | None:
    """The seconds of the header's values; None without the header, QueryError unless there is one valid value."""
    if not values:
        return None
    value = values[0].strip(" \t") if isinstance(values[0], str) else ""  # HTTP ignores spaces around a value
    valid = value.isascii() and value.isdigit() and len(value) <= len(str(MOST_MS)) and int(value) > 0
    if len(values) > 1 or not valid:
        raise QueryError(f"Send milliseconds, a whole number from 1 to {MOST_MS}.", HEADER)
    return int(value) / 1000
