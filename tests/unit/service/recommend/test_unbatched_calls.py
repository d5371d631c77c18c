"""Calls of one query, as /similar and /explain make them, go through the guards of the pipeline."""

import asyncio

import pytest

from recsys.slates.query import Degraded
from service.backends import wire
from service.recommend.circuit_breaker import FAILURES
from service.verbs.explain import SlateExplainer
from service.verbs.similar import SimilarItems
from tests.fakes.in_process import InProcessService, ids

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def world(tiny_world):
    made = InProcessService(tiny_world[0])
    made.run(made.query(deadline=60))  # loads the kernels
    return made


async def similar(world, pipeline, call, deadline=60.0):
    """The answered query of /similar."""
    query = world.query(user=None, deadline=deadline)
    await SimilarItems(pipeline, world.backends(similar=call), world.store).find(query, 0)
    return query


async def test_no_similar_items_are_asked_of_a_retrieval_that_hangs(world):
    """After some timeouts answers come at once, from the list or popular items, and `degraded` names the stage."""
    calls = []

    async def hang(rows):
        calls.append(len(rows))
        await asyncio.sleep(60)

    pipeline = world.pipeline()
    for _ in range(FAILURES):
        assert (await similar(world, pipeline, hang, deadline=0.2)).degraded == [Degraded.RETRIEVAL]
    assert pipeline.away == ["retrieval"]
    async with asyncio.timeout(30):  # the deadline is later
        late = await similar(world, pipeline, hang)
    assert (late.degraded, len(ids(late)), len(calls)) == ([Degraded.RETRIEVAL], 10, FAILURES)


async def test_an_explanation_does_not_wait_for_a_stage_that_slates_found_away(world):
    """Ranking failed for slates, and /explain calls ranking no more."""
    calls = []

    async def gone(rows):
        calls.append(len(rows))
        raise RuntimeError("gone")

    pipeline = world.pipeline(rank=gone)
    for _ in range(FAILURES):
        await pipeline.run([world.query()])
    explained = await SlateExplainer(pipeline, world.backends(explain=gone)).explain(world.query(traced=True), 0)
    assert explained.degraded == [Degraded.RANKING]
    assert len(calls) == FAILURES


async def test_an_item_that_retrieval_has_not_received_is_no_outage(world):
    """Retrieval answers that it can't answer: slates go on."""

    async def unknown(rows):
        return wire.stacked([wire.failure(wire.SIMILAR_FOUND)] * len(rows), wire.SIMILAR_FOUND)

    pipeline = world.pipeline()
    for _ in range(2 * FAILURES):
        assert (await similar(world, pipeline, unknown)).degraded == [Degraded.RETRIEVAL]
    await pipeline.run([slate := world.query()])
    assert pipeline.away == slate.degraded == []
