"""The interactions log as arrays: every user and item a row, every event in order of time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.generation.packed_strings import StringTable
from recsys.model import time_features
from recsys.model.event_types import SeenRule, not_revoked, weights_of
from recsys.model.feature_spec import CONTENT_TOKENS, NO_TOKEN, FeatureSpec
from recsys.model.history import first_occurrences
from recsys.types import CLOCK, CONTEXTS, F32, F64, HISTORY_LENGTH, I32, I64, U8, Bool, Histories
from training.data.dataset import CONTEXT, Dataset

NUMERIC_BUCKETS = 16
DAY = 86_400.0

SESSION_GAP = 1_800.0
"""Seconds without an event that end a session: the half hour that web analytics use."""


@dataclass(frozen=True)
class Catalogue:
    """Every item a row: those of the items table in its order, then those that only the log names.

    numbers: [n, columns] float64, the columns `FeatureSpec.numbers`, NaN for a missing value.
    """

    ids: npt.NDArray[np.object_]
    titles: StringTable
    content: I32
    numbers: F64
    available: Bool
    spec: FeatureSpec

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Log:
    """Events in order of time.

    users: [E] int32 rows of `user_ids`. items: [E] int32 rows of the catalogue. times: [E] float64 unix seconds.
    types: [E] uint8 rows of the spec's event types. contexts: [E, C] uint8 rows of its C context columns, 0 where
    unknown. weights: [E] float32, how much each event counts, 0 for one of a negative type; 1 on average. exclude_seen:
    which of a user's past items are left out. assumptions: a
    sentence for each thing that the dataset leaves open.
    """

    users: I32
    items: I32
    times: F64
    types: U8
    contexts: U8
    weights: F32
    user_ids: npt.NDArray[np.object_]
    catalogue: Catalogue
    exclude_seen: SeenRule = field(default_factory=SeenRule)
    assumptions: tuple[str, ...] = ()

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
            weights=self.weights[events],
        )

    @cached_property
    def stands(self) -> Bool:
        """Which events are positive and not revoked by a later negative event of their user and item: [E] bool."""
        negative = self.catalogue.spec.negative_types
        if negative is None:
            return np.ones(len(self), bool)
        revoking = np.flatnonzero(negative[self.types])
        pairs = self.users.astype(np.int64) * len(self.catalogue) + self.items
        revoked, last = np.unique(pairs[revoking][::-1], return_index=True)
        newest = np.append(revoking[::-1][last], -1)
        at = np.searchsorted(revoked, pairs).clip(max=max(len(revoked) - 1, 0))
        hit = revoked[at] == pairs if len(revoked) else np.zeros(len(self), bool)
        stands: Bool = ~(hit & (np.arange(len(self)) <= newest[at]))
        return stands

    def standing(self) -> Log:
        """The log without negative events and without what they revoke."""
        return self if self.stands.all() else self[self.stands]

    @cached_property
    def first_touch(self) -> I64:
        """For each event the first event of its user's session with the same item: [E] positions.

        A purchase that follows a view of the same item is no news to a model that knows the view. So a query is asked
        before the session's first event with the item. In a log of one event type each event is its own first touch.
        """
        if len(self.catalogue.spec.event_types) < 2 or not len(self):
            return np.arange(len(self))
        order, _ = self.by_user
        starts = np.diff(self.users[order], prepend=-1) != 0
        starts |= np.diff(self.times[order], prepend=-np.inf) > SESSION_GAP
        visit = np.cumsum(starts) * np.int64(len(self.catalogue)) + self.items[order]
        _, first, group = np.unique(visit, return_index=True, return_inverse=True)
        touch = np.empty(len(self), np.int64)
        touch[order] = order[first[group]]
        return touch

    @cached_property
    def grades(self) -> F32:
        """What a model is to learn of each event: the largest weight of a session's events with an item, [E] float32.

        It stands at the first touch of the item; the other events have 0.
        """
        grades = np.zeros(len(self), np.float32)
        np.maximum.at(grades, self.first_touch, self.weights)
        return grades

    @property
    def targets(self) -> Bool:
        """Which events are of a type that slates should lead to: [E] bool."""
        spec = self.catalogue.spec
        return np.array([spec.events.is_target(name) for name in spec.event_types] or [True])[self.types]

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
        return self._still_standing(replace(past, context=self.context_of(events)))

    def _still_standing(self, past: Histories) -> Histories:
        negative = self.catalogue.spec.negative_types
        return past if negative is None else past.only(not_revoked(past.items, past.types, negative))

    def context_of(self, events: I64) -> U8:
        """The context in which events happened, as `Histories` has it: [..., CLOCK + CONTEXTS] uint8."""
        context = np.zeros((*events.shape, CLOCK + CONTEXTS), np.uint8)
        context[..., :CLOCK] = time_features.clock(self.times[events])
        context[..., CLOCK : CLOCK + self.contexts.shape[1]] = self.contexts[events]
        return context

    def seen_before(self, events: I64) -> tuple[I64, I64]:
        """What `exclude_seen` hides from the user of each event at that moment: (places in `events`, item rows)."""
        _, offsets = self.by_user
        return self._spans(offsets[self.users[events]], self._place[events], self.times[events])

    def seen_by(self, users: I64) -> tuple[I64, I64]:
        """What `exclude_seen` keeps from each of `users` at the log's end: (places in `users`, item rows), [S]."""
        _, offsets = self.by_user
        return self._spans(offsets[users], offsets[users + 1], np.full(len(users), self.end))

    def final_histories(self, users: I64, length: int = HISTORY_LENGTH) -> Histories:
        """All that each of `users` did, asked about at the log's end, and for any context."""
        _, offsets = self.by_user
        past = self.windows(offsets[users + 1], offsets[users], length, np.full(len(users), self.end))
        return self._still_standing(past)

    @cached_property
    def hidden_until(self) -> F64:
        """Until when each event keeps its item from its user, unix seconds: [E]."""
        spec = self.catalogue.spec
        return self.exclude_seen.until(self.types, self.times, self.exclude_seen.mask(spec.event_types, spec.events))

    def _spans(self, starts: I64, ends: I64, moments: F64) -> tuple[I64, I64]:
        """Items between places of `by_user`'s order that are hidden at the span's moment, with the span of each."""
        order, _ = self.by_user
        count = ends - starts
        owner = np.repeat(np.arange(len(starts)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        events = order[starts[owner] + step]
        hidden = self.hidden_until[events] > moments[owner]
        return owner[hidden], self.items[events[hidden]].astype(np.int64)

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
    """Turn a dataset into a log and its catalogue: each event once, and none of an ignored type."""
    frame = dataset.interactions
    ignored = [name for name in frame["event_type"].unique() if dataset.events.ignores(str(name))]
    if ignored:
        frame = frame[~frame["event_type"].isin(ignored)].reset_index(drop=True)
        dataset = replace(dataset, interactions=frame)
    users, user_ids = pd.factorize(frame["user_id"])
    acted, acted_ids = pd.factorize(frame["item_id"])
    known, named = _same_type(dataset.items["item_id"], pd.Series(acted_ids))
    ids = known.append(named.difference(known, sort=False))
    types, event_types = _by_frequency(frame["event_type"])
    # A shop may name refunds before it has one: /events takes them from then on.
    event_types = tuple(dict.fromkeys((*event_types, *dataset.events.negative)))[:255]
    contexts, columns = _contexts(dataset)
    log = Log(
        users=users.astype(np.int32),
        items=ids.get_indexer(named).astype(np.int32)[acted],
        times=frame["timestamp"].to_numpy(np.float64),
        types=types,
        contexts=contexts,
        weights=_weights(frame, types, event_types, dataset),
        user_ids=np.asarray(user_ids, object),
        catalogue=_catalogue(dataset, np.asarray(ids, object), event_types, columns),
        exclude_seen=dataset.exclude_seen,
        assumptions=dataset.assumptions,
    )
    return _each_event_once(log)


def _each_event_once(log: Log) -> Log:
    """The log without events that repeat another (`history.first_occurrences`), which the other's weight includes."""
    first = first_occurrences(log.items, log.times, log.types, log.users)
    once = first == np.arange(len(log))
    if once.all():
        return log
    weights = np.bincount(first, log.weights, len(log))[once]
    return replace(log[once], weights=_mean_of_one(weights))


def _mean_of_one(weights: F32 | F64) -> F32:
    """Weights whose mean is 1 over those above 0."""
    positive = weights[weights > 0]
    return (weights / max(float(positive.mean()) if len(positive) else 1.0, 1e-9)).astype(np.float32)


def _weights(frame: pd.DataFrame, types: U8, event_types: tuple[str, ...], dataset: Dataset) -> F32:
    """How much each event counts: the weight of its type, times its value's share of the type's mean; 1 on average.

    A value's share lies between 0.1 and 10, so that one large order does not decide. An event without a value has 1.
    """
    weights = weights_of(event_types, dataset.events)[types]
    for name in dataset.weighed_by_value:
        if name in event_types:
            mine = types == event_types.index(name)
            values = pd.to_numeric(frame["value"], errors="coerce").to_numpy(np.float64)[mine]
            mean = np.nanmean(values[values > 0]) if (values > 0).any() else 1.0
            weights[mine] *= np.nan_to_num(values / mean, nan=1.0).clip(0.1, 10.0)
    return _mean_of_one(weights)


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
    columns_of_numbers = dataset.numeric_columns + dataset.boolean_columns
    return Catalogue(
        ids=ids,
        titles=StringTable.pack(titles + [""] * (len(ids) - len(titles))),
        content=np.pad(content, ((0, len(ids) - len(content)), (0, 0)), constant_values=NO_TOKEN),
        numbers=_numbers(table, columns_of_numbers, len(ids)),
        available=available,
        spec=FeatureSpec(
            ("", *tokens),
            edges,
            event_types,
            contexts,
            dataset.content_columns,
            dataset.events,
            numbers=columns_of_numbers,
            booleans=dataset.boolean_columns,
        ),
    )


def _numbers(table: pd.DataFrame, columns: tuple[str, ...], items: int) -> F64:
    """The numbers of the items [items, columns], true as 1; NaN where there is none, an infinite one included."""
    numbers = np.full((items, len(columns)), np.nan, order="F")
    for place, column in enumerate(columns):
        values = table[column].astype("float64").to_numpy()
        numbers[: len(table), place] = np.where(np.isfinite(values), values, np.nan)
    return numbers


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
