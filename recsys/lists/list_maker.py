"""Lists made ahead: the whole path of a request for many users at once, with the functions that serve requests.

Items put since the generation are not in them; they join when a request is answered. Knows no store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.fresh_items.segment import FreshSegment
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import Manifest
from recsys.lists.user_list import UserList, digest
from recsys.lists.user_record import UserRecord
from recsys.model.feature_spec import FeatureSpec
from recsys.model.history import assemble, hidden_rows, stack, still_standing
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.rules import Rules
from recsys.types import EXTRA, I32, PAD, Bool, Candidates, Event, Id, Source

LIST_LENGTH = 200
"""Items of a list: enough that filters and rules leave a slate of a hundred, and what hybrid ranks anew."""

AT_ONCE = 32
"""Users that go through retrieval and ranking together."""

Past = tuple[UserRecord, Sequence[Event]]
"""What a generation and the store know of one user."""


@dataclass(frozen=True)
class ListMaker:
    """Makes lists in one generation, by the hard filters of the rules.

    fresh: what was put since, where anything was: an item that it hides is on no list. trending: rows that are
    candidates for everyone.
    """

    manifest: Manifest
    tables: ItemTables
    spec: FeatureSpec
    retriever: Retriever
    ranker: Ranker
    rules: Rules = field(default_factory=Rules)
    fresh: FreshSegment | None = None
    trending: tuple[int, ...] = ()

    def with_trending(self, items: Iterable[Id]) -> ListMaker:
        """The same with these items as candidates for everyone: the first that the generation knows, as in serving."""
        rows = [row for row in self.rows_of([*items]) if row is not None]
        return replace(self, trending=tuple(rows[:EXTRA]))

    def make(self, users: Sequence[Past], now: float) -> list[UserList]:
        """A list for each user, as of `now`, in no context."""
        found: list[UserList] = []
        for start in range(0, len(users), AT_ONCE):
            found += self._make(users[start : start + AT_ONCE], now)
        return found

    def rows_of(self, items: Sequence[Id]) -> list[int | None]:
        """The row of each item, None for one that is not known."""
        return self.tables.ids.rows_of([*map(str, items)])

    def title(self, row: int) -> str:
        """An item's title, as it was put last."""
        return (self.fresh.titles.get(row) if self.fresh else None) or self.tables.titles[row]

    def gone(self, user: Past, rows: I32, now: float) -> Bool:
        """Which rows the user may not be shown: seen, where that is excluded, or not available."""
        gone: Bool = rows == PAD
        if self.rules.hide_unavailable:
            real = rows.clip(min=0)
            gone |= ~(self.fresh.shows(real) if self.fresh else np.asarray(self.tables.available[real]))
        rule = self.rules.seen_rule(self.manifest.seen_rule)
        if rule.excludes:
            past = assemble(*user, self.rows_of, self.spec.type_row)
            gone |= np.isin(rows, hidden_rows(user[0], past, rule, self.spec, now))
        return gone

    def _make(self, users: Sequence[Past], now: float) -> list[UserList]:
        pasts = [assemble(record, events, self.rows_of, self.spec.type_row) for record, events in users]
        past = stack([still_standing(each, self.spec.negative_types) for each in pasts], [now] * len(users))
        extra = np.full((len(users), EXTRA), PAD, np.int32)
        extra[:, : len(self.trending)] = self.trending
        candidates = self.retriever.retrieve(past, extra if self.trending else None)
        scores = self.ranker.score(past, candidates)
        return [self._list(user, candidates, scores[row], row, now) for row, user in enumerate(users)]

    def _list(self, user: Past, candidates: Candidates, scores: np.ndarray, row: int, now: float) -> UserList:
        items, sources = candidates.items[row], candidates.sources[row].copy()
        sources[np.isin(items, self.trending)] |= np.uint16(Source.TRENDING)
        scores = np.where(self.gone(user, items, now), -np.inf, scores)
        best = np.argsort(-scores, kind="stable")[:LIST_LENGTH]
        best = best[np.isfinite(scores[best])]
        return UserList(now, digest(user[1]), items[best], sources[best], scores[best].astype(np.float32))
