"""When the next generation succeeds, and when doors open: with a board, a store and generations of words."""

import asyncio
import contextlib
import time

import pytest

from recsys.cache import GenerationCache
from recsys.errors import NoGeneration
from recsys.store.base import LIVE, PREVIOUS
from recsys.store.board import Holding
from service.generations.fallback import Spare
from service.generations.holder import GenerationHolder
from service.generations.switcher import Succession
from tests import adopting


@pytest.fixture
def world():
    return adopting.made()


class Pipeline:
    """Answers every batch, or leaves out ranking."""

    def __init__(self):
        self.broken = False
        self.asked = 0

    @property
    def away(self):
        return ["ranking"] if self.broken else []

    @property
    def recovering(self):
        return self.broken

    async def run(self, queries):
        self.asked += 1
        for query in queries:
            if self.broken:
                query.degraded.append("ranking")


class Settings:
    max_batch, deadline_ms, topology = 2, 500, "split"


@pytest.fixture
def gateway(world, tmp_path, monkeypatch):
    """A gateway's succession that looks when told to."""
    store, *_, adopter = world
    following = adopter("gateway")
    holder = following._holders[0]
    pipeline = Pipeline()
    succession = Succession(following, holder, pipeline, Spare(GenerationCache(tmp_path, store)), Settings())
    monkeypatch.setattr(
        "service.generations.switcher._made_up", lambda served, count, due: [Asked() for _ in range(count)]
    )
    monkeypatch.setattr("service.generations.switcher.metrics.live_generation.set", lambda created: None)
    monkeypatch.setattr(GenerationHolder, "get", lambda self, generation: Served(generation))

    def look():
        following.look()
        if (generation := succession._next()) is not None:
            asyncio.run(succession._succeed(generation))
        return succession.in_force and succession.in_force.id

    return succession, pipeline, look


async def settles(succession, within=0.3):
    """Whether the doors of a process that starts would open."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(succession.settled(), within)
        return True
    return False


def test_doors_open_with_the_first_generation(gateway):
    """Not before anybody has looked, not while the live one loads, and at once when it is in force."""
    succession, _, look = gateway
    assert not asyncio.run(settles(succession))
    succession.adopter.outlook = succession.adopter._read()
    assert not asyncio.run(settles(succession))
    assert look() == "a"
    assert asyncio.run(settles(succession))


def test_doors_open_where_nothing_can_be_served(gateway, world):
    """Who asks is told why: nothing is live, or all there is was refused."""
    succession, _, look = gateway
    store, _, cache, _ = world
    cache.bad.add("a")
    assert look() is None
    assert asyncio.run(settles(succession))
    store.named[LIVE] = None
    assert look() is None
    assert asyncio.run(settles(succession))


def test_doors_do_not_stay_shut(gateway, monkeypatch):
    """What loads for ever is not waited for: the live generation is told then."""
    succession, *_ = gateway
    monkeypatch.setattr("service.generations.switcher.SETTLE_SECONDS", 0.1)
    succession.adopter.outlook = succession.adopter._read()
    assert asyncio.run(settles(succession))
    with pytest.raises(NoGeneration, match="is being loaded"):
        _ = succession.live


def test_doors_stay_shut_while_another_gateway_answers(gateway, world, monkeypatch):
    """Requests of one socket go to either, and one has what to answer from."""
    succession, *_ = gateway
    _, board, *_ = world
    monkeypatch.setattr("service.generations.switcher.SETTLE_SECONDS", 0.1)
    board.announce(Holding("gateway x 1", "gateway", ("a",), in_force="a"))
    succession.adopter.outlook = succession.adopter._read()
    assert not asyncio.run(settles(succession))
    board.withdraw("gateway x 1")
    succession.adopter.outlook = succession.adopter._read()
    assert asyncio.run(settles(succession))


class Asked:
    def __init__(self):
        self.degraded = []


class Served:
    """A generation of a word."""

    def __init__(self, name):
        self.id = name
        self.manifest = type("Manifest", (), {"created": 0.0})


def test_the_gateway_waits_until_all_hold_the_next(world, gateway):
    """One process that lacks it is enough to stay."""
    store, board, _, _ = world
    _, _, look = gateway
    assert look() == "a"
    board.announce(Holding("ranking x 1", "ranking", ("a",)))
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"
    board.announce(Holding("ranking x 1", "ranking", ("a", "b")))
    assert look() == "b"


def test_the_gateway_does_not_fall_back_for_a_process_that_starts(world, gateway):
    """A worker that does not hold the live one yet is no reason to leave it."""
    store, board, _, _ = world
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    _, _, look = gateway
    assert look() == "b"
    board.announce(Holding("ranking x 1", "ranking", ("a",)))
    assert look() == "b"


def test_a_rollback_is_followed(world, gateway):
    """Backwards is a direction too."""
    store, _, _, _ = world
    _, _, look = gateway
    look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "b"
    store.named |= {LIVE: "a", PREVIOUS: "b"}
    assert look() == "a"


def test_an_alias_that_moved_on_during_a_warm_up_is_followed(world, gateway, monkeypatch):
    """A rollback that comes while the next one warms up is not overrun."""
    store, *_ = world
    succession, pipeline, look = gateway
    look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    run = pipeline.run

    async def roll_back(queries):
        store.named |= {LIVE: "a", PREVIOUS: "b"}
        succession.adopter.look()
        await run(queries)

    monkeypatch.setattr(pipeline, "run", roll_back)
    assert look() == "a"


def test_a_refusal_ends_when_the_generation_serves(world, gateway, monkeypatch):
    """What was refused by its warm-up and then adopted is not shown as refused."""
    store, *_ = world
    succession, pipeline, look = gateway
    look()
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)
    monkeypatch.setattr("service.generations.follower.PATIENCE", 0)
    pipeline.broken = True
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"
    pipeline.broken = False
    assert look() == "b"
    assert succession.refused() == {}


def test_a_generation_that_does_not_warm_up_is_refused(world, gateway, monkeypatch):
    """All hold it, and batches come back without their ranking: what was in force stays."""
    store, *_ = world
    succession, pipeline, look = gateway
    look()
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)
    pipeline.broken = True
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"
    assert "ranking" in succession.refused()["b"]
    pipeline.broken = False
    assert look() == "a"  # not before its patience is over


def test_a_gateway_starts_without_what_never_comes_up(gateway, monkeypatch, caplog):
    """Nobody announced itself as ranking: it waits for a while, says so, and then its answers say what they lack."""
    succession, pipeline, look = gateway
    monkeypatch.setattr("service.generations.switcher.ALONE_SECONDS", 0.5)
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)
    caplog.set_level("INFO", "tandem")
    pipeline.broken = True
    start, told = time.monotonic(), []
    run = pipeline.run

    async def listening(queries):
        told.append(succession._why_none())
        await run(queries)

    monkeypatch.setattr(pipeline, "run", listening)
    assert look() == "a"
    assert 0.5 < time.monotonic() - start < 5
    assert "No process of ranking is there yet" in told[-1]
    assert succession.away == ["ranking"]
    assert caplog.text.count("Not ready: ranking is not up; the gateway starts without it after ") == 1
    assert "in force without ranking" in caplog.text


def test_a_gateway_waits_for_what_is_there_and_fails(world, gateway, monkeypatch):
    """A generation that no process can rank is refused at a start, too; so is one where all is in one process."""
    _, board, *_ = world
    succession, pipeline, look = gateway
    monkeypatch.setattr("service.generations.switcher.ALONE_SECONDS", 0)
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)
    pipeline.broken = True
    board.announce(Holding("ranking x 1", "ranking", ("a",)))
    assert look() is None
    assert "ranking" in succession.refused()["a"]
    board.withdraw("ranking x 1")
    monkeypatch.setattr(Settings, "topology", "inline")
    succession.adopter.accept("a")
    assert look() is None


def test_the_next_generation_waits_for_what_is_away(world, gateway, monkeypatch):
    """Once something is in force, whole answers of it are worth more than a newer one without its ranking."""
    store, *_ = world
    _, pipeline, look = gateway
    look()
    monkeypatch.setattr("service.generations.switcher.ALONE_SECONDS", 0)
    monkeypatch.setattr("service.generations.switcher.WARM_UP_SECONDS", 0)
    pipeline.broken = True
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    assert look() == "a"


def test_what_is_away_is_asked_for_though_nobody_else_asks(gateway, monkeypatch):
    """Once a second, else it would stand in /status until the next request; what is not away is not asked."""
    succession, pipeline, look = gateway
    look()
    pipeline.broken, pipeline.asked = True, 0

    async def scene(seconds):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(succession.follow(), seconds)

    monkeypatch.setattr(succession.adopter, "start", lambda: None)
    monkeypatch.setattr("service.generations.switcher.ASK_AGAIN_SECONDS", 0.2)
    asyncio.run(scene(0.7))
    assert 2 <= pipeline.asked <= 4
    pipeline.broken, pipeline.asked = False, 0
    asyncio.run(scene(0.3))
    assert pipeline.asked == 0


def test_a_store_that_goes_or_comes_back_empty_moves_nothing(world, gateway):
    """What is in force needs no alias."""
    store, _, _, _ = world
    _, _, look = gateway
    assert look() == "a"
    store.away = True
    assert look() == "a"
    store.away = False
    store.named = {LIVE: None, PREVIOUS: None}
    assert look() == "a"


def test_why_there_is_nothing_to_serve_is_told(world, gateway):
    """Nothing live, and then a live one that can't be served: a sentence each."""
    store, _, cache, _ = world
    succession, _, look = gateway
    store.named[LIVE] = None
    look()
    with pytest.raises(NoGeneration, match="Train and publish one"):
        _ = succession.live
    store.named[LIVE] = "b"
    cache.bad.add("b")
    look()
    with pytest.raises(NoGeneration, match="Part x of b"):
        _ = succession.live
