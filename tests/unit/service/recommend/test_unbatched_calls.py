"""Calls of one query, as /similar and /explain make them, go through the guards of the pipeline."""

import pytest

from recsys.slates.query import Degraded
from service.backends import wire
from service.recommend.circuit_breaker import FAILURES
from service.verbs.similar import SimilarItems
from tests.fakes.in_process import InProcessService

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


async def test_an_item_that_retrieval_has_not_received_is_no_outage(world):
    """Retrieval answers that it can't answer: slates go on."""

    async def unknown(rows):
        return wire.stacked([wire.failure(wire.SIMILAR_FOUND)] * len(rows), wire.SIMILAR_FOUND)

    pipeline = world.pipeline()
    for _ in range(2 * FAILURES):
        assert (await similar(world, pipeline, unknown)).degraded == [Degraded.RETRIEVAL]
    await pipeline.run([slate := world.query()])
    assert pipeline.away == slate.degraded == []
