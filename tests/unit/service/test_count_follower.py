"""Counts of events in a ranking process: which read a query gets, and what a failed read leaves."""

import copy
import logging
import time

import numpy as np
import pytest

from recsys.errors import StoreError, StoreUnavailable
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


@pytest.mark.parametrize(
    ("error", "warnings"), [(StoreUnavailable("No Redis answers."), 0), (StoreError("Redis refused: NOPERM"), 1)]
)
def test_a_failed_read_keeps_the_counts(error, warnings, caplog):
    """Missing rights are one warning, not one each read; an outage is logged elsewhere. A later read recovers."""
    reader, prepared = Reader(), []
    follower = CountFollower(reader, prepared.append)
    follower.refresh()
    first, reader.error = follower.current, error
    with caplog.at_level(logging.WARNING):
        follower.refresh()
        follower.refresh()
    assert len(caplog.records) == warnings
    assert follower.current is first is not NO_COUNTS
    reader.error = None
    follower.refresh()
    assert prepared == [first, follower.current]


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
