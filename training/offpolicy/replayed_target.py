"""Replay logged slates with the models of a generation: the draws that its ranker and its rules would make.

Each user's history is that of the time of the request. The functions are those of serving: retrieval, ranker, filters
and selection, whose places get the logged items, so that each draw is one given the logged places before. The record in
a generation's folder has the user's events up to the end of the generation's data. The files of collected events have
the later ones, and those of all users that the ranker's features count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DatasetError
from recsys.experiments.definition import Explore
from recsys.generation.content_checks import check, readable
from recsys.generation.manifest import NAME, GenerationFolder
from recsys.kernels.recent_events import RecentEvents, item_events
from recsys.lists.user_record import UserRecord
from recsys.rules import CompiledRules, Rules, compile_rules
from recsys.rules.exploration import DrawPolicy
from recsys.rules.selection import replay
from recsys.slates.query import NO_RULES, Query
from recsys.slates.served_generation import ServedGeneration
from recsys.slates.slate import catalogue_of
from recsys.slates.slate_filters import allowed
from recsys.types import PAD, Event
from training.judge.replay import BATCH, ReplayedModel
from training.offpolicy.logged_slates import LoggedSlate, Scored, TargetDraws, as_logged, set_place
from training.read.collected import SCHEMA, united
from training.read.day_partitions import by_day, read_files
from training.read.locations import Location

Past = Callable[[LoggedSlate], tuple[UserRecord, Sequence[Event]]]
"""The record of a slate's user in a generation, and the user's events since, up to the request."""


@dataclass(frozen=True)
class ReplayedTarget:
    """A target policy with models of its own. data_end: the time of their newest event, unix seconds.

    rules: in place of the logged ones; None for those. explore: likewise.
    """

    model: ReplayedModel
    past: Past
    data_end: float
    rules: Rules | None = None
    explore: Explore | None = None

    def draws(self, slates: Sequence[LoggedSlate]) -> list[TargetDraws]:
        """The draws of each slate. Candidates are those of the request (mode realtime), without trending items."""
        found = []
        for start in range(0, len(slates), BATCH):
            some = slates[start : start + BATCH]
            queries = [self._query(slate) for slate in some]
            self.model.retrieve_and_rank(queries)
            make = self._as_logged if self.rules is None else self._by_rules
            found += [make(slate, query) for slate, query in zip(some, queries, strict=True)]
        return found

    @cached_property
    def compiled(self) -> CompiledRules:
        """The rules for the generation."""
        return NO_RULES if self.rules is None else compile_rules(self.rules, self.model.generation.spec)

    def _query(self, slate: LoggedSlate) -> Query:
        record, since = self.past(slate)
        return self.model.query(
            slate.user_id,
            len(slate.items),
            slate.asked,
            record,
            since,
            context=self.model.generation.spec.encode_context(slate.context),
            context_values=slate.context,
            rules=self.compiled,
        )

    def _as_logged(self, slate: LoggedSlate, query: Query) -> TargetDraws:
        number = _numbers(slate, query)
        at = np.array([number.get(row, -1) for row in query.items.tolist()], np.int64)
        kept = (at >= 0) | allowed(query, query.items)  # the log's items passed the filters
        interactions = catalogue_of(query).interactions(query.items)
        scored = Scored(at[kept], query.scores[kept], interactions[kept])
        return as_logged(slate.draws, scored, self.explore)

    def _by_rules(self, slate: LoggedSlate, query: Query) -> TargetDraws:
        query.keep(allowed(query, query.items))
        rows = _shown_rows(slate, query)
        end = rows.index(PAD) + 1 if PAD in rows else len(rows)  # the target never shows an item that it lacks
        draws, explore = slate.draws, self.explore or slate.draws.policy
        policy = DrawPolicy(explore.temperature, explore.uncertain, explore.fewer_than, draws.policy.seed)
        request = query.rules, catalogue_of(query), query.context_values, policy
        made, chosen = replay(query.items, query.scores, rows[:end], *request)
        number, result = _numbers(slate, query), _nothing(slate)
        for place, row in enumerate(chosen):
            items, chances = [row], np.ones(1)
            if made is not None and made.admitted[place].any():
                items, chances = [*map(int, made.items)], made.probabilities(place)
            if draws.admitted[place].any():
                set_place(result, draws, place, [number.get(each, -1) for each in items], chances)
            else:  # the log can only show the item that it showed
                same = [each == rows[place] or (rows[place] is None and len(items) == 1) for each in items]
                result.outside[place] = 1 - float(chances[same].sum())
        return result


def _shown_rows(slate: LoggedSlate, query: Query) -> list[int | None]:
    """The row of each shown item: PAD for one that the generation lacks, None for one that was no candidate."""
    rows = query.generation.rows_of(slate.items)
    return [None if not item else PAD if row is None else row for item, row in zip(slate.items, rows, strict=True)]


def _numbers(slate: LoggedSlate, query: Query) -> dict[int, int]:
    """The place of each logged candidate among them, by its row in the target's generation."""
    rows = query.generation.rows_of([*map(str, slate.draws.items)])
    return {row: at for at, row in enumerate(rows) if row is not None}


def _nothing(slate: LoggedSlate) -> TargetDraws:
    """The draws of the log, for places that the target leaves empty."""
    places = range(len(slate.items))
    chances = np.array([slate.draws.probabilities(place) for place in places])
    return TargetDraws(chances, np.ones(len(chances)))


_WINDOW = 25 * 3_600.0
"""Seconds before a request in which the ranker's features count events: a day, from a full hour on."""


class MissingGeneration(DatasetError):
    """The folder of a generation is not on this host."""


@dataclass(frozen=True)
class CollectedPast:
    """of_users: the events of each user who was shown a slate, and when they arrived. counted: those of all users."""

    of_users: Mapping[str, Sequence[tuple[float, Event]]] = field(default_factory=dict)
    counted: pa.Table = field(default_factory=lambda: SCHEMA.empty_table())


def read_past(folder: Location, users: Collection[str], first: float, last: float) -> CollectedPast:
    """The collected events for requests of some users between two times. No folder has none. Errors as `read_files`."""
    files = [file for of_day in by_day(folder).values() for file in of_day]
    if not files:
        return CollectedPast()
    shared, found = ["entry", "item_id", "timestamp", "event_type"], defaultdict(list)
    of_users = pc.field("user_id").isin(pa.array(sorted(users), pa.string()))
    mine = read_files(files, SCHEMA, [*shared, "user_id", "arrived"], of_users)
    for row in united([mine]).sort_by("timestamp").to_pylist():
        event = Event(row["user_id"], row["item_id"], row["timestamp"], row["event_type"])
        found[row["user_id"]].append((row["arrived"], event))
    counted = (pc.field("timestamp") >= first - _WINDOW) & (pc.field("timestamp") <= last)
    return CollectedPast(found, united([read_files(files, SCHEMA, shared, counted)]).sort_by("timestamp"))


def stored_target(folder: Path, generation: str, collected: CollectedPast) -> ReplayedTarget:
    """The policy of a generation below a folder. MissingGeneration, or GenerationError if it is damaged."""
    if not NAME.fullmatch(generation) or not (folder / generation).is_dir():
        raise MissingGeneration(
            f"There is no generation {generation[:64]!r} in {folder}. A policy needs the folder of its generation, on "
            "the host that trained it."
        )
    stored = GenerationFolder(folder / generation)
    stored.verify(users=True)
    check(stored)
    with readable(generation):
        model = ReplayedModel.load(stored)
        ranker = model.ranker.counting(_recent_events(model.generation, collected.counted))
        ids, records = stored.users()

    def past(slate: LoggedSlate) -> tuple[UserRecord, Sequence[Event]]:
        row = ids.row_of(slate.user_id)
        record = UserRecord.unpack(None if row is None else records.bytes_at(row))
        known = collected.of_users.get(slate.user_id, ())
        return record, [each for arrived, each in known if max(arrived, each.timestamp) <= slate.asked]

    return ReplayedTarget(replace(model, ranker=ranker), past, stored.manifest.data_end)


def _recent_events(served: ServedGeneration, counted: pa.Table) -> RecentEvents:
    """The events that features count: of items and types that the generation has, without negative types."""
    negative, columns = served.spec.negative_types, []
    for name, rows_of in (("item_id", served.rows_of), ("event_type", lambda kinds: map(served.spec.type_row, kinds))):
        codes = counted[name].combine_chunks().dictionary_encode()
        rows = np.array([PAD if row is None else row for row in rows_of(codes.dictionary.to_pylist())], np.int32)
        columns.append(rows[codes.indices.to_numpy(zero_copy_only=False)])
    items, types = columns
    known = (items != PAD) & (types != PAD)
    if negative is not None:
        known &= ~negative[types]
    minutes = counted["timestamp"].to_numpy()[known] // 60
    events = item_events(items[known], minutes, np.ones(len(minutes), np.int64), len(served.tables))
    return RecentEvents(events, events)
