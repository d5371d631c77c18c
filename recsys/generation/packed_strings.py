"""Tables of strings, such as item ids, packed into two arrays that processes share, with look-up of their positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.files.mapped_array import mapped_array

_HASH_BASE = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, made odd: its powers spread the hashes."""

_HASHED_AT_ONCE = 1 << 16
"""Strings that are hashed at once, to bound the memory for intermediate arrays."""

DICT_LIMIT = 200_000
"""Strings up to which each process keeps a dict of rows, 30 MB. A million strings would take 150 MB."""


class StringIndex(NamedTuple):
    """The hashes of strings [n], ascending, and the row of each [n]: 12 bytes a string."""

    hashes: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int32]


class StringTable:
    """An immutable list of strings over `data` (uint8, UTF-8) and `offsets` (int64, one more than strings).

    index: computed at the first use if it is not given.
    """

    def __init__(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], index: StringIndex | None = None
    ) -> None:
        self.data = data
        self.offsets = offsets
        # Memoryviews return Python's numbers: with numpy's, twenty ids and titles take a third longer.
        self._bytes, self._places = data.data, offsets.data
        if index is not None:
            self.index = index

    @classmethod
    def pack(cls, strings: Iterable[str]) -> StringTable:
        """Pack strings in their order."""
        return cls.pack_bytes(s.encode("utf-8", "surrogatepass") for s in strings)

    @classmethod
    def pack_bytes(cls, blobs: Iterable[bytes]) -> StringTable:
        """Pack byte strings that need not be text."""
        parts = list(blobs)
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(p) for p in parts], out=offsets[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)

    def save(self, folder: Path, name: str, *, indexed: bool = False) -> None:
        """Write npy files; indexed: with the index of hashes."""
        np.save(folder / f"{name}.data.npy", self.data)
        np.save(folder / f"{name}.offsets.npy", self.offsets)
        if indexed:
            np.save(folder / f"{name}.hashes.npy", self.index.hashes)
            np.save(folder / f"{name}.rows.npy", self.index.rows)

    @classmethod
    def load(cls, folder: Path, name: str, *, indexed: bool = False) -> StringTable:
        """Map the files that `save` wrote."""
        data, offsets = mapped_array(folder, f"{name}.data"), mapped_array(folder, f"{name}.offsets")
        if not indexed:
            return cls(data, offsets)
        return cls(
            data, offsets, StringIndex(mapped_array(folder, f"{name}.hashes"), mapped_array(folder, f"{name}.rows"))
        )

    def __reduce__(self) -> tuple[type[StringTable], tuple[object, ...]]:
        return StringTable, (self.data, self.offsets, self.__dict__.get("index"))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        return str(self._view(row), "utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def __contains__(self, string: str) -> bool:
        return self.row_of(string) is not None

    def bytes_at(self, row: int) -> bytes:
        """The bytes of a row."""
        return bytes(self._view(row))

    def _view(self, row: int) -> memoryview:
        return self._bytes[self._places[row] : self._places[row + 1]]

    def row_of(self, string: str) -> int | None:
        """The row of a string, None if the table lacks it."""
        return self.rows_of([string])[0]

    def rows_of(self, strings: Sequence[str]) -> list[int | None]:
        """The row of each string, None if the table lacks it. By a dict in a small table, else as `find`."""
        return self.find(strings) if self._rows is None else [*map(self._rows.get, strings)]

    def find(self, strings: Sequence[str]) -> list[int | None]:
        """As `rows_of`, by the index of hashes: 40 us for one string, .6 ms for 200 in a table of 300,000."""
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

    def prepare(self) -> None:
        """Build what `rows_of` needs now, not in the first request."""
        self.rows_of([""])

    @cached_property
    def index(self) -> StringIndex:
        """The index of hashes. A generation stores that of its ids."""
        hashes = hashed(self)
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        return StringIndex(hashes[order], order)

    @cached_property
    def _rows(self) -> dict[str, int] | None:
        return {s: row for row, s in enumerate(self)} if len(self) <= DICT_LIMIT else None


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
