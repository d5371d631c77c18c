"""Make precomputed lists of recommended items for many users at once, by the functions that also serve requests.

Lists hold only items of the training. A request adds items put after it (PUT /items) when it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import Manifest
from recsys.lists.similar_list import SIMILAR_LENGTH, SimilarList
from recsys.lists.user_list import UserList, digest
from recsys.lists.user_record import UserRecord
from recsys.model.feature_spec import FeatureSpec
from recsys.model.history import assemble, hidden_rows, stack, without_revoked
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.rules import Rules
from recsys.types import CANDIDATES, EXTRA, I32, PAD, Bool, Candidates, Event, Id, Source

LIST_LENGTH = 200
"""Items of a list. Filters and rules leave a slate of a hundred, and the mode hybrid ranks all of them again."""

BATCH = 32
"""Users that are retrieved and ranked together."""

UserData = tuple[UserRecord, Sequence[Event]]
"""The record of a user in the generation, and the events since."""


@dataclass(frozen=True)
class ListMaker:
    """Makes the lists of one generation, under the filters of the rules.

    candidates: the most that are ranked for a user. fresh: changes made through PUT /items, which may hide items; None
    without any. trending: rows that are candidates for all.
    """

    manifest: Manifest
    tables: ItemTables
    spec: FeatureSpec
    retriever: Retriever
    ranker: Ranker
    rules: Rules = field(default_factory=Rules)
    candidates: int = CANDIDATES
    fresh: CatalogueChanges | None = None
    trending: tuple[int, ...] = ()

    def with_trending(self, items: Iterable[Id]) -> ListMaker:
        """A maker with these items, as far as the generation has them, as candidates for all, as in serving."""
        rows = [row for row in self.rows_of([*items]) if row is not None]
        return replace(self, trending=tuple(rows[:EXTRA]))

    def make(self, users: Sequence[UserData], now: float) -> list[UserList]:
        """A list for each user at the time `now`, in an unknown context."""
        lists: list[UserList] = []
        for start in range(0, len(users), BATCH):
            lists += self._make_batch(users[start : start + BATCH], now)
        return lists

    def rows_of(self, items: Sequence[Id]) -> list[int | None]:
        """The row of each item, None if the generation lacks the item."""
        return self.tables.ids.rows_of([*map(str, items)])

    def title(self, row: int) -> str:
        """The title of an item, with changes made through PUT /items."""
        return (self.fresh.titles.get(row) if self.fresh else None) or self.tables.titles[row]

    def excluded(self, user: UserData, rows: I32, now: float) -> Bool:
        """Which rows the filters exclude for a user: unavailable ones, and seen ones if the rules say so."""
        excluded: Bool = ~self.shows(rows) if self.rules.hide_unavailable else rows == PAD
        rule = self.rules.seen_rule(self.manifest.seen_rule)
        if rule.excludes:
            past = assemble(*user, self.rows_of, self.spec.type_row)
            excluded |= np.isin(rows, hidden_rows(user[0], past, rule, self.spec, now))
        return excluded

    def shows(self, rows: I32) -> Bool:
        """Which rows are items that may be shown."""
        real = rows.clip(min=0)
        shown: Bool = self.fresh.shows(real) if self.fresh else np.asarray(self.tables.available[real])
        shown &= rows != PAD
        return shown

    def similar(self, row: int, now: float) -> SimilarList:
        """The items most similar to the item at a row, by the function that also serves POST /similar."""
        found, scores = self.retriever.similar(row)
        best = np.flatnonzero(self.shows(found.items[0]))[:SIMILAR_LENGTH]
        return SimilarList(now, found.items[0, best], found.sources[0, best], scores[0, best], found.tower[0, best])

    def _make_batch(self, users: Sequence[UserData], now: float) -> list[UserList]:
        pasts = [assemble(record, events, self.rows_of, self.spec.type_row) for record, events in users]
        past = stack([without_revoked(each, self.spec.negative_types) for each in pasts], [now] * len(users))
        extra = np.full((len(users), EXTRA), PAD, np.int32)
        extra[:, : len(self.trending)] = self.trending
        candidates = self.retriever.retrieve(past, extra if self.trending else None).first(self.candidates)
        scores = self.ranker.score(past, candidates)
        return [self._list(user, candidates, scores[row], row, now) for row, user in enumerate(users)]

    def _list(self, user: UserData, candidates: Candidates, scores: np.ndarray, row: int, now: float) -> UserList:
        items, sources = candidates.items[row], candidates.sources[row].copy()
        sources[np.isin(items, self.trending)] |= np.uint16(Source.TRENDING)
        scores = np.where(self.excluded(user, items, now), -np.inf, scores)
        best = np.argsort(-scores, kind="stable")[:LIST_LENGTH]
        best = best[np.isfinite(scores[best])]
        return UserList(now, digest(user[1]), items[best], sources[best], scores[best].astype(np.float32))
