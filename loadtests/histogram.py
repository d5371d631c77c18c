"""Response times as counts in buckets a hundredth wide: quick to add and to merge, and never rounded to 10 ms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = math.log(1.01)
"""Each bucket is a hundredth wider than the one before: a percentile is right to 1 %."""

LEAST_MS = 0.01


class Histogram:
    """Counts of milliseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None, most: float = 0.0) -> None:
        self._counts: Counter[int] = Counter(counts or {})
        self.most = most

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, milliseconds: float) -> None:
        """Count one."""
        self._counts[max(0, math.ceil(math.log(max(milliseconds, LEAST_MS) / LEAST_MS) / GROWTH))] += 1
        self.most = max(self.most, milliseconds)

    def percentile(self, share: float) -> float:
        """Milliseconds that this share stayed within, to 1 %; infinite where nothing was counted."""
        if not self._counts:
            return math.inf
        wanted, seen = math.ceil(share * len(self)), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(LEAST_MS * math.exp(bucket * GROWTH), self.most)
        return self.most

    def within(self, milliseconds: float) -> int:
        """How many stayed within so many milliseconds, to 1 %."""
        return sum(
            count for bucket, count in self._counts.items() if LEAST_MS * math.exp(bucket * GROWTH) <= milliseconds
        )

    def bars(self, per_decade: int) -> list[tuple[float, float, int]]:
        """Counts from one time to the next, so many to ten times the time, from the first that has one to the last."""
        wide: Counter[int] = Counter()
        for bucket, count in self._counts.items():
            # The middle of a bucket tells where it belongs: its ends are rounded.
            milliseconds = LEAST_MS * math.exp((bucket - 0.5) * GROWTH)
            wide[math.floor(math.log10(milliseconds) * per_decade)] += count
        edges = range(min(wide), max(wide) + 1) if wide else ()
        return [(10 ** (n / per_decade), 10 ** ((n + 1) / per_decade), wide[n]) for n in edges]

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """All that the parts counted."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def merge(self, part: Histogram) -> None:
        """Count all that another histogram counted."""
        self._counts.update(part._counts)
        self.most = max(self.most, part.most)

    def to_json(self) -> dict[str, object]:
        """For a file."""
        return {"most_ms": self.most, "counts": {str(bucket): count for bucket, count in sorted(self._counts.items())}}

    @classmethod
    def from_json(cls, told: Mapping[str, object]) -> Histogram:
        """Inverse of `to_json`."""
        counts = told["counts"]
        assert isinstance(counts, dict)
        return cls({int(bucket): int(count) for bucket, count in counts.items()}, float(str(told["most_ms"])))
