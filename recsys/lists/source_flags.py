"""How lists and impressions store the flags of the sources. Numpy only."""

from __future__ import annotations

import numpy as np

from recsys.types import U16


def pack_flags(flags: U16) -> bytes:
    """The low bytes of all flags, then the high bytes.

    Code from before flags had two bytes stored the low bytes alone. That code reads these bytes as it wrote its own.
    """
    return np.ascontiguousarray(flags, "<u2").view(np.uint8).reshape(-1, 2).T.tobytes()


def unpack_flags(blob: bytes, start: int, count: int) -> U16:
    """The flags of `count` items from `start` to the end of a blob; ValueError where the end is another."""
    stored = np.frombuffer(blob, np.uint8)[start:]
    if len(stored) not in (count, 2 * count):
        raise ValueError(f"the flags of {count} items take {len(stored)} bytes")
    low, high = stored[:count], stored[count:]
    flags = low.astype(np.uint16)
    if len(high):
        flags |= high.astype(np.uint16) << 8
    return flags
