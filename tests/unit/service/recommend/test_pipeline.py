"""The stages in their order, and the answers when a stage fails or finds too little."""

import asyncio

import numpy as np
import pytest

from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import Degraded
from recsys.store import UserState
from recsys.types import Source
from service.backends import wire
from service.recommend.circuit_breaker import FAILURES
from tests.fakes.in_process import InProcessService, broken, counted, ids, slow


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def test_without_retrieval_the_precomputed_candidates_answer(world):
    """A known user gets a personal list without tower scores, and `degraded` names the stage."""
    query = world.run(world.query(user=4), retrieve=broken)
    assert query.degraded == [Degraded.RETRIEVAL]
    assert len(ids(query)) == 10
    assert (query.sources == Source.PRECOMPUTED).all()
    assert np.isnan(query.tower).all()
    assert sum(item.startswith("comedy") for item in ids(query)) >= 7
    assert query.freshness.list == query.freshness.model  # the list of the publish
    assert query.freshness.event > query.freshness.list


@pytest.mark.parametrize(("call", "reason"), [(slow, "timeout"), (broken, "error")])
def test_a_failed_call_is_counted_by_stage_and_reason(world, call, reason):
    """A late answer apart from an error."""
    labels = {"stage": "retrieval", "reason": reason}
    before = counted("tandem_stage_failures_total", **labels)
    world.run(world.query(deadline=0.3), retrieve=call)
    assert counted("tandem_stage_failures_total", **labels) == before + 1


def test_an_unreadable_record_affects_one_user(world):
    """The other users of the batch have their records."""

    class Spoiled:
        async def read_users(self, generation, buckets, users, variant=""):
            states = await world.store.read_users(generation, buckets, users)
            return [UserState(b"xx", states[0].events), *states[1:]]

    spoiled, fine = world.query(user=4), world.query(user=4)
    world.run(spoiled, fine, store=Spoiled())
    assert spoiled.degraded == [Degraded.STORE]
    assert fine.degraded == []
    assert len(fine.record.items) > 0
    assert len(ids(spoiled)) == 10


def test_a_generation_that_fails_its_warm_up_degrades_no_request(world, caplog):
    """Ranking fails for the next generation, and answers requests of the current one between those failures."""

    async def scene():
        failing = []

        async def rank(rows):
            return await (broken(rows) if failing else world.rank(rows))

        pipeline = world.pipeline(rank=rank)
        for _ in range(FAILURES):
            failing.append(True)
            trial = world.query()
            await pipeline.run([trial], trial=True)
            assert trial.degraded == [Degraded.RANKING]
        failing.clear()
        await pipeline.run([request := world.query()])
        assert request.degraded == pipeline.away == []

    asyncio.run(scene())
    assert "away" not in caplog.text


def test_a_row_that_fails_does_not_change_the_other_rows(world, monkeypatch):
    """Of twelve queries eleven answers are equal to the bit, for both backends."""
    poison = -1.0

    def choke(method):
        def call(self, histories, *more):
            if (histories.now == poison).any():
                raise ValueError("poison")
            return method(self, histories, *more)

        return call

    monkeypatch.setattr(Retriever, "retrieve", choke(Retriever.retrieve))
    monkeypatch.setattr(Ranker, "score", choke(Ranker.score))

    def spoil(model, dtype):
        async def call(rows):
            table = wire.as_table(rows.copy(), dtype)
            table["now"][5] = poison
            return model(wire.as_bytes(table))

        return call

    def batch():
        return [world.query(user=user) for user in range(12)]

    clean = batch()
    world.run(*clean)
    for calls in (
        {"retrieve": spoil(world.retrieval.retrieve, wire.RETRIEVE)},
        {"rank": spoil(world.ranking.rank, wire.RANK)},
    ):
        poisoned = batch()
        world.run(*poisoned, **calls)
        assert [place for place, query in enumerate(poisoned) if query.degraded] == [5]
        for place, (one, other) in enumerate(zip(clean, poisoned, strict=True)):
            assert place == 5 or (ids(one) == ids(other) and np.array_equal(one.scores, other.scores))
