"""Histogram of response times, whose buckets grow by 1 %, so that percentiles are exact to 1 %.

Locust's own statistics round times above 100 ms to 10 ms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = math.log(1.01)
"""Each bucket is 1 % wider than the bucket before it: a percentile is exact to 1 %."""

LEAST_MS = 0.01


class Histogram:
    """Counts of milliseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None, most: float = 0.0) -> None:
        self._counts: Counter[int] = Counter(counts or {})
        self.most = most

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, milliseconds: float) -> None:
        """Count one time."""
        self._counts[max(0, math.ceil(math.log(max(milliseconds, LEAST_MS) / LEAST_MS) / GROWTH))] += 1
        self.most = max(self.most, milliseconds)

    def percentile(self, share: float) -> float:
        """The time within which this share of the times lies, to 1 %; infinite without times."""
        if not self._counts:
            return math.inf
        wanted, seen = math.ceil(share * len(self)), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(LEAST_MS * math.exp(bucket * GROWTH), self.most)
        return self.most

    def within(self, milliseconds: float) -> int:
        """The number of times up to this one, to 1 %."""
        return sum(
            count for bucket, count in self._counts.items() if LEAST_MS * math.exp(bucket * GROWTH) <= milliseconds
        )

    def bars(self, per_decade: int) -> list[tuple[float, float, int]]:
        """(from, to, count) in bars of equal width on a logarithmic axis, from the first count to the last."""
        wide: Counter[int] = Counter()
        for bucket, count in self._counts.items():
            # By the middle of the bucket: its ends are rounded.
            milliseconds = LEAST_MS * math.exp((bucket - 0.5) * GROWTH)
            wide[math.floor(math.log10(milliseconds) * per_decade)] += count
        edges = range(min(wide), max(wide) + 1) if wide else ()
        return [(10 ** (n / per_decade), 10 ** ((n + 1) / per_decade), wide[n]) for n in edges]

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """The sum of the parts."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def merge(self, part: Histogram) -> None:
        """Add the counts of another histogram."""
        self._counts.update(part._counts)
        self.most = max(self.most, part.most)

    def to_json(self) -> dict[str, object]:
        """For a file."""
        return {"most_ms": self.most, "counts": {str(bucket): count for bucket, count in sorted(self._counts.items())}}

    @classmethod
    def from_json(cls, figures: Mapping[str, object]) -> Histogram:
        """Inverse of `to_json`."""
        counts = figures["counts"]
        assert isinstance(counts, dict)
        return cls({int(bucket): int(count) for bucket, count in counts.items()}, float(str(figures["most_ms"])))
