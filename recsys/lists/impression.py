"""A slate as it was shown, with the features that ranked it. Numpy only."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.lists.source_flags import pack_flags, unpack_flags
from recsys.types import F32, U16, Id

_HEAD = struct.Struct("<III")
"""CRC-32 of all that follows it, bytes of the JSON, items."""


@dataclass(frozen=True, slots=True, eq=False)
class Impression:
    """One slate.

    time: when it was shown, asked: the moment the features are of, unix seconds. items: n ids, places: [n] from 0 on.
    scores: [n], the ranker's. sources: [n] flags of the sources. features: [n, F], the columns of `features.FEATURES`.
    """

    generation: str
    user_id: Id
    time: float
    asked: float
    mode: str
    items: list[Id]
    places: npt.NDArray[np.int16]
    scores: F32
    sources: U16
    features: F32

    def pack(self) -> bytes:
        """As it stands in the store."""
        head = [self.generation, self.user_id, self.time, self.asked, self.mode, self.items, self.features.shape[1]]
        text = json.dumps(head, separators=(",", ":")).encode()
        columns = b"".join(array.tobytes() for array in (self.features, self.scores, self.places))
        blob = _HEAD.pack(0, len(text), len(self.items)) + text + columns + pack_flags(self.sources)
        return zlib.crc32(blob[4:]).to_bytes(4, "little") + blob[4:]

    @classmethod
    def unpack(cls, blob: bytes) -> Impression:
        """Inverse of `pack`; ValueError for what is none."""
        if len(blob) < _HEAD.size:
            raise ValueError("the impression is cut short")
        told, length, count = _HEAD.unpack_from(blob)
        if zlib.crc32(memoryview(blob)[4:]) != told:
            raise ValueError("the impression is damaged")
        at = _HEAD.size + length
        generation, user_id, time, asked, mode, items, width = json.loads(blob[_HEAD.size : at])
        features = np.frombuffer(blob, "<f4", count * width, at).reshape(count, width)
        at += features.nbytes
        scores = np.frombuffer(blob, "<f4", count, at)
        at += scores.nbytes
        places = np.frombuffer(blob, "<i2", count, at)
        sources = unpack_flags(blob, at + places.nbytes, count)
        return cls(generation, user_id, time, asked, mode, items, places, scores, sources, features)
