"""The interactions log as arrays: every user and item a row, every event in order of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import moments
from recsys.spec import CONTENT_TOKENS, NO_TOKEN, FeatureSpec
from recsys.strings import StringTable
from recsys.types import CLOCK, CONTEXTS, F64, HISTORY_LENGTH, I32, I64, U8, Bool, Histories
from training.dataset import CONTEXT, Dataset

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
    types: [E] uint8 rows of the spec's event types. contexts: [E, C] uint8 rows of its C context columns, 0 where
    unknown. exclude_seen: whether what a user has seen is left out. by_clusters: whether clusters of the items
    are tried.
    """

    users: I32
    items: I32
    times: F64
    types: U8
    contexts: U8
    user_ids: npt.NDArray[np.object_]
    catalogue: Catalogue
    exclude_seen: bool = True
    by_clusters: bool = False

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
            self,
            users=self.users[events],
            items=self.items[events],
            times=self.times[events],
            types=self.types[events],
            contexts=self.contexts[events],
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
        """What the user of each event had done before that event, asked about in its context."""
        _, offsets = self.by_user
        past = self.windows(self._place[events], offsets[self.users[events]], length, self.times[events])
        return replace(past, context=self.context_of(events))

    def context_of(self, events: I64) -> U8:
        """The context in which events happened, as `Histories` has it: [..., CLOCK + CONTEXTS] uint8."""
        context = np.zeros((*events.shape, CLOCK + CONTEXTS), np.uint8)
        context[..., :CLOCK] = moments.clock(self.times[events])
        context[..., CLOCK : CLOCK + self.contexts.shape[1]] = self.contexts[events]
        return context

    def seen_before(self, events: I64) -> tuple[I64, I64]:
        """All that the user of each event had done before it: (places in `events`, item rows), both [S]."""
        _, offsets = self.by_user
        return self._spans(offsets[self.users[events]], self._place[events])

    def seen_by(self, users: I64) -> tuple[I64, I64]:
        """All that each of `users` did: (places in `users`, item rows), both [S]."""
        _, offsets = self.by_user
        return self._spans(offsets[users], offsets[users + 1])

    def final_histories(self, users: I64, length: int = HISTORY_LENGTH) -> Histories:
        """All that each of `users` did, asked about at the log's end, and for any context."""
        _, offsets = self.by_user
        return self.windows(offsets[users + 1], offsets[users], length, np.full(len(users), self.end))

    def _spans(self, starts: I64, ends: I64) -> tuple[I64, I64]:
        """Items between places of `by_user`'s order, with the span of each."""
        order, _ = self.by_user
        count = ends - starts
        owner = np.repeat(np.arange(len(starts)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, self.items[order[starts[owner] + step]].astype(np.int64)

    def windows(self, ends: I64, starts: I64, length: int, now: F64 | None = None) -> Histories:
        """The last `length` events between places of `by_user`'s order; `now` is the newest's time if left out."""
        order, _ = self.by_user
        events, real = self.run(ends, starts, length)
        if now is None:
            now = self.times[order[ends - 1]]
        histories = Histories.empty(now, length)
        for target, source in (
            (histories.items, self.items),
            (histories.times, self.times),
            (histories.types, self.types),
        ):
            if len(source):
                target[real] = source[events][real]
        return histories

    def run(self, ends: I64, starts: I64, length: int) -> tuple[I64, Bool]:
        """The last `length` events between places of `by_user`'s order: positions, and which are any, [B, length]."""
        order, _ = self.by_user
        at = ends[:, None] + np.arange(-length, 0)
        real = at >= starts[:, None]
        return order[np.where(real, at, 0)] if len(order) else np.zeros(at.shape, np.int64), real


def encode(dataset: Dataset) -> Log:
    """Turn a dataset into a log and its catalogue."""
    frame = dataset.interactions
    users, user_ids = pd.factorize(frame["user_id"])
    acted, acted_ids = pd.factorize(frame["item_id"])
    known, named = _same_type(dataset.items["item_id"], pd.Series(acted_ids))
    ids = known.append(named.difference(known, sort=False))
    types, event_types = _by_frequency(frame["event_type"])
    contexts, columns = _contexts(dataset)
    return Log(
        users=users.astype(np.int32),
        items=ids.get_indexer(named).astype(np.int32)[acted],
        times=frame["timestamp"].to_numpy(np.float64),
        types=types,
        contexts=contexts,
        user_ids=np.asarray(user_ids, object),
        catalogue=_catalogue(dataset, np.asarray(ids, object), event_types, columns),
        exclude_seen=dataset.exclude_seen,
        by_clusters=dataset.by_clusters,
    )


def _by_frequency(column: pd.Series, first: int = 0) -> tuple[U8, tuple[str, ...]]:
    """The row of each value, and the 255 most frequent values by row, from `first` on.

    Row 0 stands for any other, and for a value that is missing, too.
    """
    codes, names = pd.factorize(column)
    order = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(names)), kind="stable")[:255]
    rows = np.zeros(len(names) + 1, np.uint8)  # the last: missing
    rows[order] = np.arange(first, first + len(order))
    return rows[codes], tuple(str(name) for name in np.asarray(names, object)[order])


def _contexts(dataset: Dataset) -> tuple[U8, tuple[tuple[str, tuple[str, ...]], ...]]:
    """The rows of each event's context, [E, C], and the columns with their values as the spec has them."""
    found = {c: _by_frequency(dataset.interactions[f"{CONTEXT}{c}"], 1) for c in dataset.context_columns}
    contexts = np.zeros((len(dataset.interactions), len(found)), np.uint8)
    for place, (rows, _) in enumerate(found.values()):
        contexts[:, place] = rows
    return contexts, tuple((column, values) for column, (_, values) in found.items())


def _same_type(known: pd.Series, acted: pd.Series) -> tuple[pd.Index, pd.Index]:
    """Both tables' item ids as integers if both came so, as strings otherwise: 7 and "7" are one item."""
    if len(known) and pd.api.types.is_integer_dtype(known) != pd.api.types.is_integer_dtype(acted):
        known, acted = known.astype("str"), acted.astype("str")
    return pd.Index(known.astype("object")), pd.Index(acted.astype("object"))


def _catalogue(
    dataset: Dataset,
    ids: npt.NDArray[np.object_],
    event_types: tuple[str, ...],
    contexts: tuple[tuple[str, tuple[str, ...]], ...],
) -> Catalogue:
    table = dataset.items
    edges = {
        c: tuple(float(q) for q in np.unique(table[c].dropna().quantile(np.linspace(0, 1, NUMERIC_BUCKETS + 1)[1:-1])))
        for c in dataset.numeric_columns
    }
    tokens, content = encode_columns(table[list(dataset.content_columns)], FeatureSpec(("",), edges, event_types))
    titles = list(table["title"].fillna("").astype("str")) if "title" in table else [""] * len(table)
    available = np.ones(len(ids), bool)
    if "available" in table:
        available[: len(table)] = table["available"]
    return Catalogue(
        ids=ids,
        titles=StringTable.pack(titles + [""] * (len(ids) - len(titles))),
        content=np.pad(content, ((0, len(ids) - len(content)), (0, 0)), constant_values=NO_TOKEN),
        available=available,
        spec=FeatureSpec(("", *tokens), edges, event_types, contexts, dataset.content_columns),
    )


def encode_columns(table: pd.DataFrame, blank: FeatureSpec) -> tuple[list[str], I32]:
    """The tokens of a table in the order of their first appearance, and its content: [n, CONTENT_TOKENS] int32.

    What `blank.encode_items` gives row by row once it knows the tokens, but each distinct value is encoded once: a
    log of a million items took 12.4 s to encode row by row, 5.4 s so.
    """
    rows: dict[str, int] = {}
    parts = [np.full((len(table), 1), NO_TOKEN, np.int32)]
    for column in table:
        codes, values = pd.factorize(table[column])
        tokens = [blank.item_tokens({str(column): value})[:CONTENT_TOKENS] for value in values.tolist()]
        encoded = np.full((len(values) + 1, max(map(len, tokens), default=0)), NO_TOKEN, np.int32)  # the last: missing
        for row, named in enumerate(tokens):
            encoded[row, : len(named)] = [rows.setdefault(token, len(rows) + 1) for token in named]
        parts.append(encoded[codes])
    content = np.concatenate(parts, axis=1)
    left = np.argsort(content == NO_TOKEN, axis=1, kind="stable")[:, :CONTENT_TOKENS]
    content = np.take_along_axis(content, left, axis=1)
    content = np.pad(content, ((0, 0), (0, CONTENT_TOKENS - content.shape[1])), constant_values=NO_TOKEN)
    return _by_appearance(list(rows), content)


def _by_appearance(tokens: list[str], content: I32) -> tuple[list[str], I32]:
    """Number tokens anew by the first row that holds them; a token that no row has room for goes."""
    used, first = np.unique(content[content != NO_TOKEN], return_index=True)
    order = used[np.argsort(first)]
    renumbered = np.full(len(tokens) + 1, NO_TOKEN, np.int32)
    renumbered[order] = np.arange(1, len(order) + 1)
    return [tokens[token - 1] for token in order], renumbered[content]
