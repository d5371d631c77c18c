"""The moves of an alias and the opening of the ports, with a fake registry, store and generations."""

import asyncio
import contextlib

import pytest

from recsys.errors import NoGeneration
from recsys.generation.cache import GenerationCache
from recsys.store.process_registry import Announcement
from recsys.store.stored_types import LIVE, PREVIOUS
from service.generations.alias_state import arm_alias
from service.generations.local_generations import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from tests.fakes import fake_generations
from tests.fakes.fake_generations import Experiments, refresh, refresh_until
from tests.fakes.fake_pipeline import Pipeline, Query, Served, Settings

ARM = arm_alias("b")


@pytest.fixture
def world():
    return fake_generations.made()


@pytest.fixture
def arms():
    return Experiments()


@pytest.fixture
def gateway(world, arms, tmp_path, monkeypatch):
    """A switcher, its pipeline, and a function that refreshes, moves an alias and returns its generation."""
    store, *_, follower = world
    following = follower("gateway", load=Served, arms=arms, poll_seconds=0.05)
    pipeline, fallback = Pipeline(), GenerationFallback(GenerationCache(tmp_path, store))
    switcher = GenerationSwitcher(following, following._loader._holders[0], pipeline, fallback, Settings())
    monkeypatch.setattr("service.generations.warm_up._queries", lambda served, count, due: [Query()] * count)

    def move(alias=LIVE):
        refresh(following)
        asyncio.run(switcher._move(alias))
        return following.in_force.get(alias)

    return switcher, pipeline, move


@pytest.fixture
def no_retry(monkeypatch):
    """A warm-up without time for a second try."""
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)


async def opens(switcher, within=0.3):
    """Whether the ports of a process that starts open."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(switcher.settled(), within)
        return True
    return False


def test_ports_open_with_the_first_generation(gateway):
    """Not before the first refresh, and not while the live generation is loaded."""
    switcher, _, move = gateway
    assert not asyncio.run(opens(switcher))
    refresh(switcher.follower)
    assert not asyncio.run(opens(switcher))
    assert move() == "a"
    assert asyncio.run(opens(switcher))


@pytest.mark.parametrize(("live", "reason"), [(None, "Train and publish one"), ("b", "Part x of b")])
def test_ports_open_if_no_generation_can_be_served(gateway, world, live, reason):
    """Nothing is live, or all generations were refused: a request gets the reason."""
    switcher, _, move = gateway
    store, _, cache, _ = world
    cache.bad.add("b")
    store.named[LIVE] = live
    assert move() is None
    assert asyncio.run(opens(switcher))
    with pytest.raises(NoGeneration, match=reason):
        switcher.live()


def test_an_alias_moves_when_all_processes_hold_the_next_generation(world, gateway):
    """If one process lacks it, the alias stays."""
    store, registry, _, _ = world
    _, _, move = gateway
    assert move() == "a"
    registry.announce(Announcement("ranking x 1", "ranking", ("a",)))
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert move() == "a"
    registry.announce(Announcement("ranking x 1", "ranking", ("a", "b")))
    assert move() == "b"
    registry.announce(Announcement("ranking x 2", "ranking", ("a",)))  # a process that starts
    assert move() == "b"


def test_a_rollback_is_followed(world, gateway):
    """Also a rollback during the warm-up of the next generation."""
    store, _, _, _ = world
    switcher, pipeline, move = gateway
    move()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert move() == "b"
    store.named |= {LIVE: "a", PREVIOUS: "b"}
    assert move() == "a"
    store.named |= {LIVE: "b", PREVIOUS: "a"}

    def roll_back():
        store.named |= {LIVE: "a", PREVIOUS: "b"}
        refresh(switcher.follower)

    pipeline.during = roll_back
    assert move() == "a"


def test_a_generation_that_does_not_warm_up_is_refused(world, gateway, no_retry):
    """All processes hold it, and its batches lack ranking: the generation in force stays."""
    store, *_ = world
    switcher, pipeline, move = gateway
    move()
    pipeline.broken = True
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert move() == "a"
    assert "ranking" in switcher.follower.refusals["b"]
    pipeline.broken = False
    assert move() == "a"  # not before RETRY_SECONDS are over


def test_an_outage_during_the_warm_up_of_an_arm_refuses_no_generation(gateway, arms, no_retry, monkeypatch):
    """A refusal would halt the arm for good. Without an outage the generation is at fault."""
    switcher, pipeline, move = gateway
    arms.answer_from("b")
    move()
    refresh_until(switcher.follower, lambda: "b" in switcher.follower.held)
    pipeline.broken = True
    assert move(ARM) is None
    assert switcher.follower.refusals == {}
    monkeypatch.setattr(Pipeline, "recovering", False)
    assert move(ARM) is None
    assert "had to leave out ranking" in switcher.follower.refusals["b"]


def test_an_arm_is_not_served_while_a_backend_lacks_its_generation(gateway, arms, world):
    """As after a restart of ranking, which loads the live generation first, and answers from then on."""
    _, registry, *_ = world
    switcher, _, move = gateway
    arms.answer_from("b")
    move()
    refresh_until(switcher.follower, lambda: "b" in switcher.follower.held)
    move(ARM)
    for role, held, served in (
        ("gateway", ("a",), True),
        ("ranking", (), True),
        ("ranking", ("a",), False),
        ("ranking", ("a", "b"), True),
    ):
        registry.announce(Announcement(f"{role} x 1", role, held))
        refresh(switcher.follower)
        assert (switcher.of_arm("b") is not None) == served
