"""The interactions log as arrays: every user and item a row, every event in order of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.spec import FeatureSpec
from recsys.strings import StringTable
from recsys.types import F64, HISTORY_LENGTH, I32, I64, U8, Bool, Histories
from training.dataset import Dataset

NUMERIC_BUCKETS = 16
DAY = 86_400.0


@dataclass(frozen=True)
class Catalogue:
    """Every item a row: those of the items table in its order, then those that only the log names."""

    ids: npt.NDArray[np.object_]
    titles: StringTable
    content: I32
    available: Bool
    spec: FeatureSpec

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Log:
    """Events in order of time.

    users: [E] int32 rows of `user_ids`. items: [E] int32 rows of the catalogue. times: [E] float64 unix seconds.
    types: [E] uint8 rows of the spec's event types.
    """

    users: I32
    items: I32
    times: F64
    types: U8
    user_ids: npt.NDArray[np.object_]
    catalogue: Catalogue

    def __len__(self) -> int:
        return len(self.users)

    @property
    def end(self) -> float:
        """Time of the newest event."""
        return float(self.times[-1])

    def before(self, moment: float) -> Log:
        """The events before `moment`, users and items keeping their rows."""
        return self[: int(np.searchsorted(self.times, moment))]

    def __getitem__(self, events: slice) -> Log:
        return replace(
            self, users=self.users[events], items=self.items[events], times=self.times[events], types=self.types[events]
        )

    @cached_property
    def by_user(self) -> tuple[I64, I64]:
        """Events sorted by user, time kept within: (event positions [E], offsets [U + 1])."""
        order = np.argsort(self.users, kind="stable")
        offsets = np.searchsorted(self.users[order], np.arange(len(self.user_ids) + 1))
        return order, offsets

    def histories(self, events: I64, length: int = HISTORY_LENGTH) -> Histories:
        """What the user of each event had done before that event."""
        order, offsets = self.by_user
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self))
        return self._windows(place[events], offsets[self.users[events]], length)

    def final_histories(self, users: I64, length: int = HISTORY_LENGTH) -> Histories:
        """All that each of `users` did."""
        _, offsets = self.by_user
        return self._windows(offsets[users + 1], offsets[users], length)

    def _windows(self, ends: I64, starts: I64, length: int) -> Histories:
        order, _ = self.by_user
        at = ends[:, None] + np.arange(-length, 0)
        real = at >= starts[:, None]
        events = order[np.where(real, at, 0)] if len(order) else np.zeros(at.shape, np.int64)
        histories = Histories.empty(len(ends), length)
        for target, source in (
            (histories.items, self.items),
            (histories.times, self.times),
            (histories.types, self.types),
        ):
            if len(source):
                target[real] = source[events][real]
        return histories


def encode(dataset: Dataset) -> Log:
    """Turn a dataset into a log and its catalogue."""
    frame = dataset.interactions
    users, user_ids = pd.factorize(frame["user_id"])
    known = pd.Index(dataset.items["item_id"].astype("object"))
    ids = known.append(pd.Index(frame["item_id"].astype("object").unique()).difference(known, sort=False))
    if len({type(i) for i in ids}) > 1:
        ids = pd.Index([str(i) for i in ids], dtype="object")
        frame = frame.assign(item_id=frame["item_id"].astype("str"))
    items = ids.get_indexer(pd.Index(frame["item_id"].astype("object")))
    event_types = tuple(frame["event_type"].value_counts().index)[:255]
    types = frame["event_type"].map({name: row for row, name in enumerate(event_types)}).fillna(0)
    return Log(
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        times=frame["timestamp"].to_numpy(np.float64),
        types=types.to_numpy(np.uint8),
        user_ids=np.asarray(user_ids, object),
        catalogue=_catalogue(dataset, np.asarray(ids, object), event_types),
    )


def _catalogue(dataset: Dataset, ids: npt.NDArray[np.object_], event_types: tuple[str, ...]) -> Catalogue:
    table = dataset.items
    numeric = [c for c in dataset.content_columns if pd.api.types.is_numeric_dtype(table[c])]
    edges = {
        c: tuple(float(q) for q in np.unique(table[c].dropna().quantile(np.linspace(0, 1, NUMERIC_BUCKETS + 1)[1:-1])))
        for c in numeric
    }
    rows = table[list(dataset.content_columns)].to_dict("records") if dataset.content_columns else []
    blank = FeatureSpec(("",), edges, event_types)
    seen = dict.fromkeys(token for row in rows for token in blank.item_tokens(row))
    spec = FeatureSpec(("", *seen), edges, event_types)
    content = spec.encode_items(rows + [{}] * (len(ids) - len(rows)))
    titles = list(table["title"].fillna("").astype("str")) if "title" in table else [""] * len(table)
    available = np.ones(len(ids), bool)
    if "available" in table:
        available[: len(table)] = table["available"]
    return Catalogue(ids, StringTable.pack(titles + [""] * (len(ids) - len(titles))), content, available, spec)
