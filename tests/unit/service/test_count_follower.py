"""Counts of events in a ranking process: which read a query gets, and what a failed read leaves."""

import copy
import time

import numpy as np

from recsys.model.event_counts import NO_COUNTS, EventCounts
from service.backends import wire
from service.backends.count_follower import CountFollower
from service.backends.models import RankingModel

GENERATION = "g1"


class Reader:
    """Returns new counts at each read, or raises an error."""

    error = None

    def read(self):
        if self.error:
            raise self.error
        return EventCounts((), NO_COUNTS.by_minute, NO_COUNTS.by_hour)


class Ranker:
    """Scores each candidate with the number of the counts that it got, in the order of `known`."""

    def __init__(self, known):
        self.known, self.counts = known, NO_COUNTS

    def get(self, generation):
        return self

    def with_items(self, puts):
        return self

    def with_counts(self, counts):
        other = copy.copy(self)
        other.counts = counts
        return other

    def score(self, histories, candidates):
        return np.full(candidates.items.shape, self.known.index(self.counts), np.float32)


def test_a_query_has_the_counts_of_its_time(monkeypatch):
    """Also in a batch with later queries: a slate that is ranked again for the log has the same features."""
    follower, known = CountFollower(Reader()), []
    for moment in (100.0, 105.0, 110.0):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        follower.refresh()
        known.append(follower.current)
    queries = np.zeros(4, wire.RANK)
    queries["generation"], queries["due"] = GENERATION.encode(), np.inf
    queries["now"] = [110, 109, 111, 90]
    model = RankingModel(Ranker(known), counts=follower.at)
    found = model.rank(wire.as_bytes(queries))
    assert wire.as_table(found, wire.RANKED)["scores"][:, 0].tolist() == [2, 1, 2, 1]
