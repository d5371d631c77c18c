"""An impression: one list of recommended items that a user was shown, with each item's features (ranker inputs).

The service logs a sample of impressions, and `python -m flows drain` moves them to Parquet files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.lists.record_format import RecordFormat
from recsys.surfaces import DEFAULT
from recsys.types import F32, U16, Id

_FORMAT = RecordFormat("impression", b"imp1", ["f4", "f4", "i2", "u2", "u1"])


@dataclass(frozen=True, slots=True, eq=False)
class Impression:
    """time: when the items were shown. asked: the moment that the features describe. Both in unix seconds.

    items: n ids. places: [n] from 0 on. scores: [n], of the ranker. sources: [n] flags of the sources. features:
    [n, F], the columns of `features.FEATURES`. surface: the place of the product that showed the items.
    arms: the user's arm ("control" included) in each experiment that the slate took part in. context: of the request,
    the columns that the generation knows. from_store: whether the history is the store's: the request had no session,
    and the store answered.
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
    surface: str = DEFAULT
    arms: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    from_store: bool = True

    def pack(self) -> bytes:
        """The bytes that the store holds."""
        head = [self.generation, self.user_id, self.time, self.asked, self.mode, self.items, self.features.shape[1]]
        head += [self.surface, dict(self.arms), dict(self.context), self.from_store]
        text = np.frombuffer(json.dumps(head, separators=(",", ":")).encode(), np.uint8)
        return _FORMAT.pack(self.features.reshape(-1), self.scores, self.places, self.sources, text)

    @classmethod
    def unpack(cls, blob: bytes) -> Impression:
        """Inverse of `pack`; ValueError if the bytes are damaged or of another version."""
        features, scores, places, sources, text = _FORMAT.unpack(blob)
        generation, user_id, time, asked, mode, items, width, *later = json.loads(text.tobytes())
        features = features.reshape(len(items), width)
        # An impression of an earlier version lacks the last of these.
        return cls(generation, user_id, time, asked, mode, items, places, scores, sources, features, *later)
