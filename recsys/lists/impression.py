"""An impression: one list of recommended items that a user was shown, with each item's features (ranker inputs).

The service logs a sample of impressions, and `python -m flows drain` moves them to Parquet files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recsys.lists import exploration_record
from recsys.lists.record_format import RecordFormat
from recsys.rules.exploration import Exploration
from recsys.surfaces import DEFAULT
from recsys.types import F32, F64, U16, Id

_COLUMNS = ["f4", "f4", "i2", "u2", "u1"]
_FORMAT = RecordFormat("impression", b"imp1", _COLUMNS)
_EXPLORED = RecordFormat("impression", b"imp2", [*_COLUMNS, "u1"])
"""Of a slate that explores: the last column is the record of its draws."""


@dataclass(frozen=True, slots=True, eq=False)
class Impression:
    """time: when the items were shown. asked: the moment that the features describe. Both in unix seconds.

    items: n ids. places: [n] from 0 on. scores: [n], of the ranker. sources: [n] flags of the sources. features:
    [n, F], the columns of `features.names`. surface: the place of the product that showed the items.
    arms: the arm ("control" included) that served the slate, by experiment; without experiments whose arm could not be
    served. assigned: the user's arm in each experiment, also if it could not be served; None in an impression of the
    release before, which lacks it. context: of the request, the columns that the generation has. from_store: whether
    the history is the store's: the request had no session, and the store answered. dataset: the name of the one that
    the generation was trained on; empty if unknown. own_features: `features.own_names`. exploration: the draws of a
    slate that explores, by place of the slate.
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
    dataset: str = ""
    own_features: Sequence[str] = ()
    assigned: Mapping[str, str] | None = None
    exploration: Exploration | None = None

    @property
    def propensities(self) -> F64 | None:
        """The probability with which each item was drawn at its place: [n]; None if the slate does not explore."""
        return None if self.exploration is None else self.exploration.propensities[self.places]

    def pack(self) -> bytes:
        """The bytes that the store holds."""
        head = [self.generation, self.user_id, self.time, self.asked, self.mode, self.items, self.features.shape[1]]
        head += [self.surface, dict(self.arms), dict(self.context), self.from_store, self.dataset]
        head += [[*self.own_features], None if self.assigned is None else dict(self.assigned)]
        text = np.frombuffer(json.dumps(head, separators=(",", ":")).encode(), np.uint8)
        columns = self.features.reshape(-1), self.scores, self.places, self.sources, text
        if self.exploration is None:
            return _FORMAT.pack(*columns)
        draws = np.frombuffer(exploration_record.pack(self.exploration), np.uint8)
        return _EXPLORED.pack(*columns, draws)

    @classmethod
    def unpack(cls, blob: bytes) -> Impression:
        """Inverse of `pack`; ValueError if the bytes are damaged or of another version."""
        explored = _EXPLORED.matches(blob)
        columns = (_EXPLORED if explored else _FORMAT).unpack(blob)
        features, scores, places, sources, text = columns[: len(_COLUMNS)]
        generation, user_id, time, asked, mode, items, width, *later = json.loads(text.tobytes())
        features = features.reshape(len(items), width)
        # An impression of an earlier version lacks the last of these.
        made = cls(generation, user_id, time, asked, mode, items, places, scores, sources, features, *later)
        return replace(made, exploration=exploration_record.unpack(columns[-1].tobytes())) if explored else made


def arms_text(arms: Mapping[str, str] | None) -> str | None:
    """Arms by experiment as in the files of `drain`: `name=arm,name=arm`; None if they are not known."""
    return None if arms is None else ",".join(f"{name}={arm}" for name, arm in arms.items())
