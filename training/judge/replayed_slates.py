"""Make slates (ordered lists of recommended items) as the service makes them, from data in memory: for the replay of
`python -m training advise`, and for the slates of a training with which served slates are compared.

The functions are those of `recsys.slates`, the retriever and the ranker, which the service calls for a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.generation.manifest import Manifest
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
from recsys.types import CANDIDATES, EXTRA, F32, I32, PAD, Candidates, Event, Histories, Mode, padded
from training.encode.catalogue import id_type
from training.encode.interaction_log import Log
from training.fit.first_stage import FirstStage

BATCH = 32
"""Queries that are retrieved and ranked together, as in the service at its highest load."""

_Find = Callable[[Histories, Sequence[Query]], Candidates]
"""Finds the candidates of a batch of queries."""


@dataclass(frozen=True)
class ReplayedService:
    """The models and tables of one moment, which answer queries."""

    generation: ServedGeneration
    retriever: Retriever
    ranker: Ranker

    @classmethod
    def of(cls, known: Log, stage: FirstStage, net: RankerNet, log: Log) -> ReplayedService:
        """The service over models in memory. known: the events that the tables know. log: those that features count."""
        settings = {"exclude_seen": stage.exclude_seen.to_json(), "item_id_type": id_type(known.catalogue.ids)}
        manifest = Manifest("replay", 0.0, "", {}, {}, {"last": known.end}, settings)
        generation = ServedGeneration(manifest, stage.tables, known.catalogue.spec)
        return cls(generation, stage.retriever, stage.ranker(net, log))

    @cached_property
    def list_maker(self) -> ListMaker:
        """The maker of lists that the flows have, over the same models."""
        served = self.generation
        return ListMaker(served.manifest, served.tables, served.spec, self.retriever, self.ranker)

    def with_history(
        self, query: Query, record: UserRecord, old: UserRecord | None = None, since: Sequence[Event] = ()
    ) -> Query:
        """The query with the past of `record` and the events since for its filters, and for the models.

        old: the record that the models read in place of `record`.
        """
        query.past = assemble(record, since, self.generation.rows_of, self.generation.spec.type_row)
        read = query.past
        if old is not None:
            read = assemble(old, since, self.generation.rows_of, self.generation.spec.type_row)
        query.history = without_revoked(read, self.generation.spec.negative_types)
        return query

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

    def _rank(self, queries: Sequence[Query], find: _Find) -> None:
        """Set the candidates of queries and the ranker's scores."""
        past = stack([each.history for each in queries], [each.now for each in queries], [q.context for q in queries])
        found = find(past, queries)
        scores = self.ranker.score(past, found)
        for row, query in enumerate(queries):
            self._set_ranked(query, found, scores, row)

    @staticmethod
    def _set_ranked(query: Query, found: Candidates, scores: F32, row: int) -> None:
        """Give a query its candidates, of a row of a batch."""
        real = found.items[row] != PAD
        query.set_candidates(found.items[row][real], found.tower[row][real], found.sources[row][real])
        if query.extra:
            named_by = [query.extra.get(item, 0) for item in query.items.tolist()]
            query.sources = query.sources | np.array(named_by, np.uint16)
        query.scores = scores[row][real]

    def answer_with_features(self, queries: Sequence[Query]) -> list[F32]:
        """Replace the candidates of at most BATCH queries by slates that are made at the request.

        The features of each slate's items: [k, F], NaN for an item that was no candidate.
        """
        past = stack([each.history for each in queries], [each.now for each in queries], [q.context for q in queries])
        found = self._retrieve(past, queries)
        features, scores = self.ranker.features_and_scores(past, found)
        of_slates = []
        for row, query in enumerate(queries):
            self._set_ranked(query, found, scores, row)
            make_slate(query)
            at = places(query.items, found.items[row])
            of_slates.append(np.where((at >= 0)[:, None], features[row, at], np.nan).astype(np.float32))
        return of_slates

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


def places_of(queries: Sequence[Query], targets: I32) -> np.ndarray:
    """The place of each query's target in its slate, best 0; the length of the slate where it is not there: [Q]."""
    places = np.empty(len(queries), np.int64)
    for row, query in enumerate(queries):
        found = np.flatnonzero(query.items == targets[row])
        places[row] = found[0] if len(found) else query.k
    return places
