"""The freshness of a slate (ordered list of recommended items): the ages of what the slate was made from."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("model", "list", "trending", "event")
"""What a slate may be made from."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Ages in seconds when the slate was made; None for a part that the slate was not made from.

    model: since the generation was made. list: since the precomputed list was made. trending: since the trending items
    were computed. event: since the user's newest event that was taken into account, of the session too.
    """

    model: float
    list: float | None = None
    trending: float | None = None
    event: float | None = None

    @property
    def ages(self) -> dict[str, float]:
        """The ages of the parts that the slate was made from."""
        return {part: age for part in PARTS if (age := getattr(self, part)) is not None}
