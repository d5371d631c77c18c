"""Strings packed into two arrays, so that a table of ids or titles can be mmapped and never pickled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt


class StringTable:
    """An immutable list of strings over `data` (uint8 utf-8 bytes) and `offsets` (int64, one more than strings)."""

    def __init__(self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        self.data = data
        self.offsets = offsets

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
        return self.bytes_at(row).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def bytes_at(self, row: int) -> bytes:
        """The raw bytes of one entry."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    @cached_property
    def rows(self) -> dict[str, int]:
        """From string to row, built at first use."""
        return {s: row for row, s in enumerate(self)}
