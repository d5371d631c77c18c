"""Replay serving: make slates (ordered lists of recommended items) as the service makes them, from data in memory.

Evaluation, the gate, the advisor, drift, off-policy estimates and recomputed features use it. The functions are those
of `recsys.slates`, the retriever and the ranker, which the service calls for a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recsys.generation.content_checks import readable
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.lists.list_maker import ListMaker
from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble, stack, without_revoked
from recsys.model.ranker import Ranker, RankerNet
from recsys.retrieval.candidates import places
from recsys.retrieval.retriever import Retriever
from recsys.slates.fallbacks import listed, take_list
from recsys.slates.modes import choose
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.slates.slate import make_slate
from recsys.types import (
    CANDIDATES,
    EXTRA,
    F32,
    I32,
    PAD,
    Candidates,
    Event,
    Histories,
    Id,
    Mode,
    padded,
)
from training.encode.catalogue import id_type
from training.encode.interaction_log import Log
from training.fit.first_stage import FirstStage

BATCH = 32
"""Queries that are retrieved and ranked together, as in the service at its highest load."""

_Find = Callable[[Histories, Sequence[Query]], Candidates]
"""Finds the candidates of a batch of queries."""


@dataclass(frozen=True)
class ReplayedModel:
    """The models and tables of one moment, which answer queries."""

    generation: ServedGeneration
    retriever: Retriever
    ranker: Ranker

    @classmethod
    def of(cls, known: Log, stage: FirstStage, net: RankerNet, log: Log) -> ReplayedModel:
        """The service over models in memory. known: the events that the tables know. log: those that features count."""
        settings = {"exclude_seen": stage.exclude_seen.to_json(), "item_id_type": id_type(known.catalogue.ids)}
        manifest = Manifest("replay", 0.0, "", {}, {}, {"last": known.end}, settings)
        generation = ServedGeneration(manifest, stage.tables, known.catalogue.spec)
        return cls(generation, stage.retriever, stage.ranker(net, log))

    @classmethod
    def load(cls, folder: GenerationFolder) -> ReplayedModel:
        """A verified generation, whose features count no events; GenerationError where a part can't be read."""
        with readable(folder.manifest.id):
            served = ServedGeneration.load(folder)
            return cls(served, Retriever.load(folder, served.tables), Ranker.load(folder, served.tables))

    @cached_property
    def list_maker(self) -> ListMaker:
        """The maker of lists that the flows have, over the same models."""
        served = self.generation
        return ListMaker(served.manifest, served.tables, served.spec, self.retriever, self.ranker)

    def query(
        self,
        user: Id,
        k: int,
        now: float,
        record: UserRecord,
        since: Sequence[Event] = (),
        read: UserRecord | None = None,
        **fields: Any,
    ) -> Query:
        """A query of a user with this past. now: unix seconds. since: events after those of the record.

        read: the record that the models read, in place of the one for the filters. fields: others of `Query`.
        """
        query, spec = Query(self.generation, user, k, due=0.0, now=now, record=record, **fields), self.generation.spec
        query.past = assemble(record, since, self.generation.rows_of, spec.type_row)
        past = query.past if read is None else assemble(read, since, self.generation.rows_of, spec.type_row)
        query.history = without_revoked(past, spec.negative_types)
        return query

    def ranked(self, histories: Histories) -> tuple[Candidates, F32]:
        """The candidates of some histories, as found at a request, and the ranker's scores: [B, K] float32."""
        candidates = self.retriever.retrieve(histories)
        return candidates, self.ranker.score(histories, candidates)

    def scores(self, histories: Histories) -> F32:
        """The ranker's scores of the candidates, -inf for all other items: [B, n] float32."""
        return scores_of_all(*self.ranked(histories), len(self.generation.tables))

    def answer(self, queries: Sequence[Query]) -> None:
        """Replace the candidates of each query by its slate, in the mode that the service chooses."""
        for query in queries:
            query.made_by = choose(query)
        for mode in (Mode.BATCH, Mode.HYBRID, Mode.REALTIME):
            chosen = [query for query in queries if query.made_by == mode]
            for start in range(0, len(chosen), BATCH):
                some = chosen[start : start + BATCH]
                if mode == Mode.BATCH:
                    for query in some:
                        take_list(query)
                else:
                    self._rank(some, self._complete if mode == Mode.HYBRID else self._retrieve)
        for query in queries:
            make_slate(query)

    def retrieve_and_rank(self, queries: Sequence[Query]) -> None:
        """Set the candidates of at most BATCH queries, as found at the request, and the ranker's scores."""
        self._rank(queries, self._retrieve)

    def _rank(self, queries: Sequence[Query], find: _Find) -> tuple[Candidates, F32]:
        """Set the candidates of queries and the ranker's scores; the candidates together, and their features."""
        past = past_of(queries)
        found = find(past, queries)
        features, scores = self.ranker.features_and_scores(past, found)
        for row, query in enumerate(queries):
            real = found.items[row] != PAD
            query.set_candidates(found.items[row][real], found.tower[row][real], found.sources[row][real])
            if query.extra:
                named_by = [query.extra.get(item, 0) for item in query.items.tolist()]
                query.sources = query.sources | np.array(named_by, np.uint16)
            query.scores = scores[row][real]
        return found, features

    def answer_with_features(self, queries: Sequence[Query]) -> list[F32]:
        """Replace the candidates of at most BATCH queries by slates that are made at the request.

        The features of each slate's items: [k, F], NaN for an item that was no candidate.
        """
        (found, features), of_slates = self._rank(queries, self._retrieve), []
        for row, query in enumerate(queries):
            make_slate(query)
            at = places(query.items, found.items[row])
            of_slates.append(np.where((at >= 0)[:, None], features[row, at], np.nan).astype(np.float32))
        return of_slates

    def features_of(self, queries: Sequence[Query], items: Sequence[Id], sources: Sequence[int]) -> F32:
        """The features of one item for each of at most BATCH queries: [Q, F], NaN where it can't be shown.

        sources: the flags of the sources that named each item.
        """
        rows = np.array([[PAD if row is None else row] for row in self.generation.rows_of(items)], np.int32)
        past = past_of(queries)
        candidates = self.retriever.complete(past, rows, np.array(sources, np.uint16)[:, None])
        features, _ = self.ranker.features_and_scores(past, candidates)
        shown = (candidates.items[:, 0] == rows[:, 0]) & (rows[:, 0] != PAD)
        return np.where(shown[:, None], features[:, 0], np.nan).astype(np.float32)

    def _retrieve(self, past: Histories, queries: Sequence[Query]) -> Candidates:
        """Candidates of every source."""
        extra = padded(len(queries), EXTRA)
        for row, query in enumerate(queries):
            named = [*query.extra][:EXTRA]
            extra[row, : len(named)] = named
        return self.retriever.retrieve(past, extra if (extra != PAD).any() else None)

    def _complete(self, past: Histories, queries: Sequence[Query]) -> Candidates:
        """The items of the users' lists, with tower scores."""
        items, sources = padded(len(queries), CANDIDATES), np.zeros((len(queries), CANDIDATES), np.uint16)
        for row, query in enumerate(queries):
            own, flags = listed(query)
            count = min(len(own), CANDIDATES)
            items[row, :count], sources[row, :count] = own[:count], flags[:count]
        return self.retriever.complete(past, items, sources)


def scores_of_all(candidates: Candidates, scores: F32, n_items: int) -> F32:
    """Scores of candidates [B, K] as scores of the catalogue: [B, n] float32, -inf for an item that is no candidate."""
    users, places = np.nonzero(candidates.items != PAD)
    wide = np.full((len(candidates), n_items), -np.inf, np.float32)
    wide[users, candidates.items[users, places]] = scores[users, places]
    return wide


def past_of(queries: Sequence[Query]) -> Histories:
    """The histories of queries, with their times and contexts."""
    return stack([each.history for each in queries], [each.now for each in queries], [each.context for each in queries])


def places_of(queries: Sequence[Query], targets: I32) -> np.ndarray:
    """The place of each query's target in its slate, best 0; the length of the slate where it is not there: [Q]."""
    places = np.empty(len(queries), np.int64)
    for row, query in enumerate(queries):
        found = np.flatnonzero(query.items == targets[row])
        places[row] = found[0] if len(found) else query.k
    return places
