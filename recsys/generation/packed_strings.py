"""Strings packed into two arrays, so that a table of ids or titles can be mmapped and never pickled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_HASH_BASE = 0x9E3779B97F4A7C15
"""An odd number with its bits well mixed (2^64 over the golden ratio): its powers spread what they multiply."""

_HASHED_AT_ONCE = 1 << 16
"""Strings hashed at once: what is computed beside the result stays small."""

FEW = 200_000
"""Strings of which every process can afford a dict of its own: 30 MB."""


class StringIndex(NamedTuple):
    """Where strings stand: their hashes [n], ascending, and the row of each [n]. 12 bytes a string."""

    hashes: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int32]


class StringTable:
    """An immutable list of strings over `data` (uint8 utf-8 bytes) and `offsets` (int64, one more than strings).

    index: made at the first use where it is not given.
    """

    def __init__(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], index: StringIndex | None = None
    ) -> None:
        self.data = data
        self.offsets = offsets
        # Of an array each number is an object of numpy's: twenty ids and titles take a third longer.
        self._bytes, self._places = data.data, offsets.data
        if index is not None:
            self.index = index

    @classmethod
    def pack(cls, strings: Iterable[str]) -> StringTable:
        """Pack `strings` in their order."""
        return cls.pack_bytes(s.encode("utf-8", "surrogatepass") for s in strings)

    @classmethod
    def pack_bytes(cls, blobs: Iterable[bytes]) -> StringTable:
        """Pack byte strings that need not be text."""
        parts = list(blobs)
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(p) for p in parts], out=offsets[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        return str(self._view(row), "utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def bytes_at(self, row: int) -> bytes:
        """The raw bytes of one entry."""
        return bytes(self._view(row))

    def _view(self, row: int) -> memoryview:
        return self._bytes[self._places[row] : self._places[row + 1]]

    def find(self, strings: Sequence[str]) -> list[int | None]:
        """The row of each string, None where it isn't here."""
        if not strings:
            return []
        wanted = StringTable.pack(strings)
        hashes, rows = self.index
        targets = hashed(wanted)
        starts, ends = np.searchsorted(hashes, targets), np.searchsorted(hashes, targets, "right")
        return [
            next((int(row) for row in rows[start:end] if self.bytes_at(row) == wanted.bytes_at(place)), None)
            for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        ]

    def rows_of(self, strings: Sequence[str]) -> list[int | None]:
        """As `find`, by the dict where that is faster: among few strings."""
        rows = self.rows
        return [*map(rows.get, strings)] if isinstance(rows, dict) else self.find(strings)

    @cached_property
    def index(self) -> StringIndex:
        """Finds rows by their strings; a generation stores it for its ids, and processes share it."""
        hashes = hashed(self)
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        return StringIndex(hashes[order], order)

    @cached_property
    def rows(self) -> dict[str, int] | HashedRows:
        """From string to row, built at first use: a dict where the strings are few."""
        return {s: row for row, s in enumerate(self)} if len(self) <= FEW else HashedRows(self)


class HashedRows:
    """Rows of single strings in a large table: 40 us for a string, where a dict of a million strings takes 150 MB."""

    def __init__(self, table: StringTable) -> None:
        self._table = table
        table.index  # noqa: B018 - built now, not by a request

    def get(self, string: str) -> int | None:
        """The row of a string, None where it isn't there."""
        return self._table.find([string])[0]

    def __contains__(self, string: str) -> bool:
        return self.get(string) is not None


def hashed(table: StringTable) -> npt.NDArray[np.uint64]:
    """A hash of each string: [n] uint64."""
    hashes = np.empty(len(table), np.uint64)
    for start in range(0, len(table), _HASHED_AT_ONCE):
        offsets = np.asarray(table.offsets[start : start + _HASHED_AT_ONCE + 1])
        length = np.diff(offsets)
        data = np.asarray(table.data[offsets[0] : offsets[-1]]).astype(np.uint64)
        powers = np.full(int(length.max(initial=0)) + 1, _HASH_BASE, np.uint64).cumprod(dtype=np.uint64)
        place = np.arange(len(data)) - np.repeat(offsets[:-1] - offsets[0], length)
        sums = np.concatenate([np.zeros(1, np.uint64), ((data + np.uint64(1)) * powers[place]).cumsum(dtype=np.uint64)])
        ends = offsets - offsets[0]
        hashes[start : start + len(length)] = (sums[ends[1:]] - sums[ends[:-1]]) * powers[length]
    return hashes
