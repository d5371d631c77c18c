"""The deadline of a request, which a client may shorten with the header `x-deadline-ms`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import QueryError

HEADER = "x-deadline-ms"
MOST_MS = 999_999


@dataclass(frozen=True, slots=True)
class Deadline:
    """arrived: when the request arrived, monotonic seconds. seconds: that the client waits; None: no limit."""

    arrived: float
    seconds: float | None = None

    @classmethod
    def of_now(cls, seconds: float | None = None) -> Deadline:
        """The deadline of a request that arrives now."""
        return cls(time.monotonic(), seconds)

    def within(self, most: float) -> float:
        """When the answer is due, monotonic seconds; most: the seconds that the server may take."""
        return self.arrived + (most if self.seconds is None else min(self.seconds, most))


def requested_seconds(values: Sequence[str | bytes]) -> float | None:
    """The seconds of the header's values; None without the header, QueryError unless there is one valid value."""
    if not values:
        return None
    value = values[0].strip(" \t") if isinstance(values[0], str) else ""  # HTTP ignores spaces around a value
    valid = value.isascii() and value.isdigit() and len(value) <= len(str(MOST_MS)) and int(value) > 0
    if len(values) > 1 or not valid:
        raise QueryError(f"Send milliseconds, a whole number from 1 to {MOST_MS}.", HEADER)
    return int(value) / 1000
