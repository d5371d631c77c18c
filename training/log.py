"""The interactions log as arrays: every user and item a row, every event in order of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

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
    types: [E] uint8 rows of the spec's event types. exclude_seen: whether what a user has seen is left out.
    """

    users: I32
    items: I32
    times: F64
    types: U8
    user_ids: npt.NDArray[np.object_]
    catalogue: Catalogue
    exclude_seen: bool = True

    def __len__(self) -> int:
        return len(self.users)

    @property
    def end(self) -> float:
        """Time of the newest event."""
        return float(self.times[-1])

    def before(self, moment: float) -> Log:
        """The events before `moment`, users and items keeping their rows."""
        return self[: int(np.searchsorted(self.times, moment))]

    def __getitem__(self, events: slice | I64 | Bool) -> Log:
        """Some events, in order of time: a slice, ascending positions or a mask."""
        return replace(
            self, users=self.users[events], items=self.items[events], times=self.times[events], types=self.types[events]
        )

    @cached_property
    def by_user(self) -> tuple[I64, I64]:
        """Events sorted by user, time kept within: (event positions [E], offsets [U + 1])."""
        order = np.argsort(self.users, kind="stable")
        offsets = np.searchsorted(self.users[order], np.arange(len(self.user_ids) + 1))
        return order, offsets

    @cached_property
    def _place(self) -> I64:
        """Where each event stands in `by_user`'s order."""
        order, _ = self.by_user
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self))
        return place

    def histories(self, events: I64, length: int = HISTORY_LENGTH) -> Histories:
        """What the user of each event had done before that event."""
        _, offsets = self.by_user
        return self._windows(self._place[events], offsets[self.users[events]], length)

    def seen_before(self, events: I64) -> tuple[I64, I64]:
        """All that the user of each event had done before it: (places in `events`, item rows), both [S]."""
        _, offsets = self.by_user
        return self._spans(offsets[self.users[events]], self._place[events])

    def seen_by(self, users: I64) -> tuple[I64, I64]:
        """All that each of `users` did: (places in `users`, item rows), both [S]."""
        _, offsets = self.by_user
        return self._spans(offsets[users], offsets[users + 1])

    def final_histories(self, users: I64, length: int = HISTORY_LENGTH) -> Histories:
        """All that each of `users` did."""
        _, offsets = self.by_user
        return self._windows(offsets[users + 1], offsets[users], length)

    def _spans(self, starts: I64, ends: I64) -> tuple[I64, I64]:
        """Items between places of `by_user`'s order, with the span of each."""
        order, _ = self.by_user
        count = ends - starts
        owner = np.repeat(np.arange(len(starts)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, self.items[order[starts[owner] + step]].astype(np.int64)

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
    known, acted = _same_type(dataset.items["item_id"], frame["item_id"])
    ids = known.append(acted.unique().difference(known, sort=False))
    items = ids.get_indexer(acted)
    event_types = tuple(frame["event_type"].value_counts().index)[:255]
    types = frame["event_type"].map({name: row for row, name in enumerate(event_types)}).fillna(0)
    return Log(
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        times=frame["timestamp"].to_numpy(np.float64),
        types=types.to_numpy(np.uint8),
        user_ids=np.asarray(user_ids, object),
        catalogue=_catalogue(dataset, np.asarray(ids, object), event_types),
        exclude_seen=dataset.exclude_seen,
    )


def _same_type(known: pd.Series, acted: pd.Series) -> tuple[pd.Index, pd.Index]:
    """Both tables' item ids as integers if both came so, as strings otherwise: 7 and "7" are one item."""
    if len(known) and pd.api.types.is_integer_dtype(known) != pd.api.types.is_integer_dtype(acted):
        known, acted = known.astype("str"), acted.astype("str")
    return pd.Index(known.astype("object")), pd.Index(acted.astype("object"))


def _catalogue(dataset: Dataset, ids: npt.NDArray[np.object_], event_types: tuple[str, ...]) -> Catalogue:
    table = dataset.items
    edges = {
        c: tuple(float(q) for q in np.unique(table[c].dropna().quantile(np.linspace(0, 1, NUMERIC_BUCKETS + 1)[1:-1])))
        for c in dataset.numeric_columns
    }
    columns = list(dataset.content_columns)
    rows: list[dict[str, Any]] = [
        dict(zip(columns, row, strict=True)) for row in table[columns].itertuples(index=False)
    ]
    blank = FeatureSpec(("",), edges, event_types)
    seen = dict.fromkeys(token for row in rows for token in blank.item_tokens(row))
    spec = FeatureSpec(("", *seen), edges, event_types)
    content = spec.encode_items(rows + [{}] * (len(ids) - len(rows)))
    titles = list(table["title"].fillna("").astype("str")) if "title" in table else [""] * len(table)
    available = np.ones(len(ids), bool)
    if "available" in table:
        available[: len(table)] = table["available"]
    return Catalogue(ids, StringTable.pack(titles + [""] * (len(ids) - len(titles))), content, available, spec)
