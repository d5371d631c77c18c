"""When an alias moves, and when the ports open: with a board, a store and generations that are words."""

import asyncio
import contextlib

import pytest

from recsys.errors import NoGeneration
from recsys.generation.cache import GenerationCache
from recsys.store.ports import LIVE, PREVIOUS
from recsys.store.process_board import Announcement
from service.generations import readiness
from service.generations.fallback import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from tests.fakes import fake_generations

ARM = "arm"


@pytest.fixture
def world():
    return fake_generations.made()


class Query:
    def __init__(self):
        self.degraded = []


class Served:
    """A generation that is a word."""

    def __init__(self, name):
        self.id = name
        self.manifest = type("Manifest", (), {"created": 0.0})


class Pipeline:
    """Answers every batch, or does without ranking; `during` runs in a batch."""

    def __init__(self):
        self.broken = False
        self.batches = 0
        self.during = lambda: None

    @property
    def recovering(self):
        return self.broken

    async def run(self, queries, trial=False):
        self.batches += 1
        self.during()
        for query in queries:
            if self.broken:
                query.degraded.append("ranking")


class Settings:
    max_batch, deadline_ms = 2, 500


@pytest.fixture
def gateway(world, tmp_path, monkeypatch):
    """A switcher of two aliases, its pipeline, and a look that returns what it then serves for an alias."""
    store, *_, follower = world
    following = follower("gateway", load=Served, aliases=(LIVE, ARM))
    pipeline, fallback = Pipeline(), GenerationFallback(GenerationCache(tmp_path, store))
    switcher = GenerationSwitcher(following, following._holders[0], pipeline, fallback, Settings())
    monkeypatch.setattr("service.generations.warm_up._queries", lambda served, count, due: [Query()] * count)

    def look(alias=LIVE):
        following.look()
        asyncio.run(switcher._move(alias))
        return following.in_force.get(alias)

    return switcher, pipeline, look


@pytest.fixture
def impatient(monkeypatch):
    """A warm-up that has no time for a second try."""
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)


async def opens(switcher, within=0.3):
    """Whether the ports of a process that starts open."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(switcher.settled(), within)
        return True
    return False


def test_ports_open_with_the_first_generation(gateway):
    """Not before the first look, and not while the live generation is loaded."""
    switcher, _, look = gateway
    assert not asyncio.run(opens(switcher))
    switcher.follower.look()
    assert not asyncio.run(opens(switcher))
    assert look() == "a"
    assert asyncio.run(opens(switcher))


@pytest.mark.parametrize(("live", "reason"), [(None, "Train and publish one"), ("b", "Part x of b")])
def test_ports_open_where_nothing_can_be_served(gateway, world, live, reason):
    """Nothing is live, or all there is was refused: a request gets the reason."""
    switcher, _, look = gateway
    store, _, cache, _ = world
    cache.bad.add("b")
    store.named[LIVE] = live
    assert look() is None
    assert asyncio.run(opens(switcher))
    with pytest.raises(NoGeneration, match=reason):
        switcher.generation()


def test_ports_stay_shut_while_another_gateway_answers(gateway, world, monkeypatch):
    """Connections to one port go to either gateway. Without another one the ports open after a while."""
    switcher, *_ = gateway
    _, board, *_ = world
    monkeypatch.setattr("service.generations.switcher.START_SECONDS", 0.1)
    board.announce(Announcement("gateway x 1", "gateway", ("a",), ("a",)))
    switcher.follower.look()
    assert not asyncio.run(opens(switcher))
    board.withdraw("gateway x 1")
    switcher.follower.look()
    assert asyncio.run(opens(switcher))
    with pytest.raises(NoGeneration, match="is being loaded"):
        switcher.generation()


def test_an_alias_moves_when_all_processes_hold_the_next_generation(world, gateway):
    """One process that lacks it is enough to stay."""
    store, board, _, _ = world
    _, _, look = gateway
    assert look() == "a"
    board.announce(Announcement("ranking x 1", "ranking", ("a",)))
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"
    board.announce(Announcement("ranking x 1", "ranking", ("a", "b")))
    assert look() == "b"
    board.announce(Announcement("ranking x 2", "ranking", ("a",)))  # a process that starts
    assert look() == "b"


def test_a_rollback_is_followed(world, gateway):
    """Also one that comes while the next generation warms up."""
    store, _, _, _ = world
    switcher, pipeline, look = gateway
    look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "b"
    store.named |= {LIVE: "a", PREVIOUS: "b"}
    assert look() == "a"
    store.named |= {LIVE: "b", PREVIOUS: "a"}

    def roll_back():
        store.named |= {LIVE: "a", PREVIOUS: "b"}
        switcher.follower.look()

    pipeline.during = roll_back
    assert look() == "a"


def test_a_generation_that_does_not_warm_up_is_refused(world, gateway, impatient):
    """All hold it, and its batches come back without their ranking: what was in force stays."""
    store, *_ = world
    switcher, pipeline, look = gateway
    look()
    pipeline.broken = True
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"
    assert "ranking" in switcher.follower.refusals["b"]
    pipeline.broken = False
    assert look() == "a"  # not before RETRY_SECONDS are over


def test_a_gateway_starts_without_a_stage_that_does_not_come(gateway, impatient, caplog):
    """No process announced itself as ranking: the gateway names ranking while it waits, then it serves without."""
    switcher, pipeline, look = gateway
    caplog.set_level("INFO", "tandem")
    pipeline.broken = True
    assert look() == "a"
    assert "Not ready: ranking is not up; the gateway starts without it after " in caplog.text
    assert "in force without ranking" in caplog.text
    assert switcher.unready is None


def test_a_gateway_that_starts_refuses_a_generation_that_a_present_stage_can_not_serve(world, gateway, impatient):
    """The previous generation may be served whole."""
    _, board, *_ = world
    switcher, pipeline, look = gateway
    pipeline.broken = True
    board.announce(Announcement("ranking x 1", "ranking", ("a",)))
    assert look() is None
    assert "ranking" in switcher.follower.refusals["a"]


def test_a_stage_that_comes_and_refuses_the_generation_is_named_so(world, gateway):
    """It was not up at first; then the reason is its refusal."""
    _, board, *_ = world
    switcher, pipeline, look = gateway
    pipeline.broken = True

    def come():
        if pipeline.batches == 3:
            board.announce(Announcement("ranking x 1", "ranking", (), (), {"a": "Another format."}))
            switcher.follower.look()

    pipeline.during = come
    assert look() is None
    assert switcher.unready == readiness.REFUSED


def test_a_stage_that_is_away_is_probed_without_requests(gateway):
    """Else /status would name it until the next request. With all stages there, no query is run."""
    switcher, pipeline, look = gateway
    look()
    pipeline.broken, pipeline.batches = True, 0
    asyncio.run(switcher._probe())
    pipeline.broken = False
    asyncio.run(switcher._probe())
    assert pipeline.batches == 1


def test_a_store_that_goes_away_or_comes_back_empty_moves_nothing(world, gateway):
    """What is in force needs no alias."""
    store, _, _, _ = world
    _, _, look = gateway
    assert look() == "a"
    store.away = True
    assert look() == "a"
    store.away = False
    store.named = {LIVE: None, PREVIOUS: None}
    assert look() == "a"


def test_the_other_aliases_wait_for_live(world, gateway):
    """`live` is what a query falls back to."""
    store, *_ = world
    switcher, _, look = gateway
    store.named[ARM] = "b"
    assert look(ARM) is None
    with pytest.raises(NoGeneration):
        switcher.generation(ARM)
    assert (look(), look(ARM)) == ("a", "b")
