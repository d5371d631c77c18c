"""The stages in their order, and the answers when a stage fails or finds too little."""

import asyncio

import numpy as np
import pytest
from prometheus_client import REGISTRY

from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import Degraded
from recsys.store import UserState
from recsys.types import Event, Source
from service.backends import wire
from service.generations import warm_up
from service.recommend.circuit_breaker import FAILURES, REST_SECONDS
from service.schema import Mode
from tests.fakes.fake_users import AwayStore
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


def test_without_retrieval_an_unknown_user_gets_popular_items(world):
    """The last fallback needs only the generation."""
    query = world.run(world.query(user="nobody"), retrieve=broken)
    assert (query.sources == Source.POPULAR).all()
    assert len(ids(query)) == 10
    assert str(query.scores[0]) == "0.0"  # not -0.0, which JSON would have
    assert query.freshness.ages.keys() == {"model"}


def test_without_ranking_the_order_is_of_retrieval(world):
    """By the score of the tower."""
    query = world.run(world.query(), rank=broken)
    assert query.degraded == [Degraded.RANKING]
    assert np.array_equal(query.scores, query.tower)
    assert len(ids(query)) == 10


@pytest.mark.parametrize(("call", "reason"), [(slow, "timeout"), (broken, "error")])
def test_a_failed_call_is_counted_by_stage_and_reason(world, call, reason):
    """A late answer apart from an error."""
    labels = {"stage": "retrieval", "reason": reason}
    before = counted("tandem_stage_failures_total", **labels)
    world.run(world.query(deadline=0.3), retrieve=call)
    assert counted("tandem_stage_failures_total", **labels) == before + 1


def test_a_visitor_needs_no_store(world):
    """Without a user nothing is read, so the store is not named in `degraded`."""
    session = [Event("", f"action-{i}", float(i)) for i in range(3)]
    visitor, user = world.query(user=None, session=session), world.query(user=4)
    world.run(visitor, user, store=AwayStore())
    assert Degraded.STORE in user.degraded
    assert Degraded.STORE not in visitor.degraded
    assert len(visitor.history[0]) == 3


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


class TestMixedBatch:
    """A batch with one query for retrieval and one query whose list is ranked again: two calls."""

    @staticmethod
    def batch(world):
        return world.query(user="nobody"), world.query(user=4, mode=Mode.HYBRID)

    def test_both_are_called_at_once(self, world):
        """No call waits for the answer of the other."""
        called, both = [], asyncio.Event()

        def meeting(name, model):
            async def call(rows):
                called.append(name)
                if len(called) == 2:
                    both.set()
                await asyncio.wait_for(both.wait(), 3)
                return model(rows)

            return call

        anew, hybrid = self.batch(world)
        calls = {name: meeting(name, getattr(world.retrieval, name)) for name in ("retrieve", "complete")}
        world.run(anew, hybrid, **calls)
        assert sorted(called) == ["complete", "retrieve"]
        assert anew.degraded == hybrid.degraded == []
        assert hybrid.made_by == Mode.HYBRID

    @pytest.mark.parametrize(("call", "failed"), [("retrieve", 0), ("complete", 1)])
    def test_a_call_that_fails_does_not_affect_the_other(self, world, call, failed):
        """Its own queries get the fallback."""
        queries = self.batch(world)
        world.run(*queries, **{call: broken})
        assert queries[failed].degraded == [Degraded.RETRIEVAL]
        assert queries[1 - failed].degraded == []
        assert all(len(ids(query)) == 10 for query in queries)

    def test_if_both_calls_fail_the_stage_has_failed(self, world, caplog):
        """The circuit breaker counts the failure, and the log has it once."""
        pipeline = world.pipeline(retrieve=broken, complete=broken)
        for _ in range(FAILURES):
            queries = self.batch(world)
            asyncio.run(pipeline.run(queries))
            assert [query.degraded for query in queries] == [[Degraded.RETRIEVAL]] * 2
        assert pipeline.away == ["retrieval"]
        assert caplog.text.count("retrieval is away: retrieval failed for every query") == 1


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


def test_no_metric_counts_a_warm_up_or_a_probe(world):
    """Neither as a slate without a stage, nor as a batch, a read of a user or a failed call."""

    def figures():
        names = ("degraded", "removed", "batch_queries", "stage_seconds", "stage_failures", "user_reads")
        samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
        return {
            (sample.name, *sample.labels.items()): sample.value
            for sample in samples
            if sample.name.startswith(tuple(f"tandem_{name}" for name in names))
            and not sample.name.endswith("_created")
        }

    async def scene():
        pipeline = world.pipeline(rank=broken)
        before = figures()
        for _ in range(FAILURES + 1):
            assert await warm_up.left_out(pipeline, world.served, 2) == {"ranking"}
        await asyncio.sleep(REST_SECONDS)
        await warm_up.left_out(pipeline, world.served, 1)  # starts a probe
        assert len(pipeline._probes) == 1
        await asyncio.gather(*pipeline._probes)
        return before, figures()

    before, after = asyncio.run(scene())
    assert after == before


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
