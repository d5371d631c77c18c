"""Queries of an arm of an experiment: they have batches and circuit breakers of their own, and harm no other query."""

import asyncio
import time

import pytest

from recsys.experiments.assigned_arms import AssignedArms
from recsys.experiments.definition import Arm
from recsys.slates.query import Degraded
from service.recommend.arm_batchers import ArmBatchers
from service.recommend.batcher import RequestBatcher
from service.recommend.circuit_breaker import FAILURES
from tests.fakes.in_process import InProcessService


def arm(**changes):
    """An arm that changes these fields."""
    return AssignedArms({"test": "new"}, {"test": Arm(share=1.0, **changes)})


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def test_a_slow_arm_does_not_delay_the_control(world):
    """Also if one batch may be in flight at a time, and for users of one request."""
    batches = []

    async def run(queries):
        batches.append([query.assigned.generation for query in queries])
        await asyncio.sleep(0.5 if queries[0].assigned.generation else 0)

    async def scene():
        batchers = ArmBatchers(lambda: RequestBatcher(run, lambda query: None, 32, 1))
        slow = asyncio.create_task(
            batchers.submit([world.query(assigned=arm(generation="g-arm"))], time.monotonic() + 5)
        )
        await asyncio.sleep(0)
        start = time.monotonic()
        await batchers.submit([world.query(), world.query(assigned=arm(mode="realtime"))], start + 5)
        control = time.monotonic() - start
        await batchers.submit([world.query(), world.query(assigned=arm(generation="g-arm"))], start + 5)
        await slow
        return control

    assert asyncio.run(scene()) < 0.25
    assert all(len(set(batch)) == 1 for batch in batches)


def test_a_failing_arm_opens_its_own_circuit_breaker(world):
    """The control has all stages meanwhile, and the arm does not wait for the stage any more."""
    broken = True

    async def rank(rows):
        if broken:
            raise RuntimeError("gone")
        return world.ranking.rank(rows)

    async def scene():
        nonlocal broken
        pipeline = world.pipeline(rank=rank)
        for _ in range(FAILURES):
            await pipeline.run([query := world.query(assigned=arm(generation="g-arm"))])
            assert query.degraded == [Degraded.RANKING]
        assert (pipeline.away, pipeline.arms_away) == ([], ["g-arm"])
        broken = False
        await pipeline.run([control := world.query()])
        await pipeline.run([late := world.query(assigned=arm(generation="g-arm"))])
        return control.degraded, late.degraded

    assert asyncio.run(scene()) == ([], [Degraded.RANKING])
