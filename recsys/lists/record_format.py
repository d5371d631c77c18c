"""Binary format of records in the store, such as a user's history: checksum, type and version, numpy columns."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CHECKED = 4
"""The checksum is the first 4 bytes, and covers all bytes after."""

_ALIGNED = 8


class RecordFormat:
    """Packs arrays into bytes and back.

    name: of a record, for error messages. mark: 4 bytes, the type and version of the format. dtypes: of the columns,
    the widest first, so that every column is aligned.
    """

    def __init__(self, name: str, mark: bytes, dtypes: Sequence[str]) -> None:
        self._name, self._mark = name, mark
        self._dtypes = [np.dtype(each).newbyteorder("<") for each in dtypes]
        self._head = struct.Struct(f"<I4s{len(dtypes)}I")
        self._start = -(-self._head.size // _ALIGNED) * _ALIGNED

    def pack(self, *columns: npt.ArrayLike) -> bytes:
        """The bytes of a record. A single number is a column of one row."""
        arrays = [np.atleast_1d(np.asarray(each, dtype)) for each, dtype in zip(columns, self._dtypes, strict=True)]
        head = self._head.pack(0, self._mark, *map(len, arrays)).ljust(self._start, b"\0")
        checked = b"".join([head[_CHECKED:], *(array.tobytes() for array in arrays)])
        return zlib.crc32(checked).to_bytes(_CHECKED, "little") + checked

    def matches(self, blob: bytes) -> bool:
        """Whether the bytes have the mark of this format."""
        return blob[_CHECKED : _CHECKED + len(self._mark)] == self._mark

    def unpack(self, blob: bytes) -> list[np.ndarray]:
        """The columns of a record; ValueError if the bytes are damaged or of another version.

        The arrays share one copy of the bytes. They are writable: Numba compiles a kernel again for read-only arrays.
        """
        if len(blob) < self._start or zlib.crc32(memoryview(blob)[_CHECKED:]) != int.from_bytes(blob[:4], "little"):
            raise ValueError(f"the {self._name} is damaged")
        _, mark, *lengths = self._head.unpack_from(blob)
        if mark != self._mark:
            raise ValueError(f"the {self._name} has format {mark!r}; this code reads {self._mark!r}")
        copy, at, columns = bytearray(blob), self._start, []
        for dtype, length in zip(self._dtypes, lengths, strict=True):
            columns.append(np.frombuffer(copy, dtype, length, at))
            at += length * dtype.itemsize
        return columns
