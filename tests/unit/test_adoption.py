"""Who holds what: with a board, a store and generations of words."""

import shutil
import time
import weakref
from dataclasses import replace

import pytest

from recsys.cache import GenerationCache
from recsys.errors import NOTHING_LIVE, StoreError, StoreUnavailable
from recsys.store import MemoryStore
from recsys.store.base import LIVE, PREVIOUS
from recsys.store.board import ANNOUNCED_SECONDS, Holding
from service.generations.fallback import Spare
from service.generations.follower import Adopter
from service.generations.holder import HELD, GenerationHolder
from service.generations.readiness import REFUSED
from tests import adopting, tiny
from tests.adopting import Cache


@pytest.fixture
def world():
    return adopting.made()


def test_what_is_live_is_held_and_announced(world):
    """And so is what goes live next, beside it."""
    store, board, _, adopter = world
    ranking = adopter()
    ranking.look()
    store.named[LIVE] = "b"
    ranking.look()
    assert set(ranking.held) == {"a", "b"}
    assert [told.held for told in board.processes()] == [("a", "b")]


AWAY = "No Redis answers."


@pytest.mark.parametrize(("error", "fault"), [(StoreUnavailable(AWAY), AWAY), (StoreError("Not allowed."), None)])
def test_a_board_that_can_not_be_read_is_not_an_empty_one(world, monkeypatch, error, fault):
    """Nobody to wait for would let a gateway move on; but an ACL that forbids the board is no fault of the store."""
    _, board, _, adopter = world

    def fail():
        raise error

    monkeypatch.setattr(board, "processes", fail)
    gateway = adopter("gateway")
    gateway.look()
    assert gateway.outlook.fault == fault
    assert gateway.held == ("a",)


@pytest.mark.parametrize("role", ["gateway", "ranking"])
def test_the_board_is_read_at_each_look_until_all_is_settled(world, monkeypatch, role):
    """Settled is: all that answer do so from what is live. Then it is read before announcements are forgotten."""
    store, board, _, adopter = world
    reads, processes = [], board.processes
    monkeypatch.setattr(board, "processes", lambda: reads.append(1) or processes())

    def looks():
        reads.clear()
        for _ in range(3):
            one.look()
        return len(reads)

    one = adopter(role)
    assert looks() == 3  # nobody answers yet
    other = Holding("gateway x 1", "gateway", ("a",), in_force="a")
    board.announce(other)
    if role == "gateway":
        assert looks() == 3  # it does not answer itself
        one.in_force = "a"
    assert looks() == (1 if role == "ranking" else 0)
    assert looks() == 0
    one._read_at -= ANNOUNCED_SECONDS / 4
    assert looks() == 1
    one._read_at -= ANNOUNCED_SECONDS / 4
    board.announce(replace(other, in_force="old"))
    assert looks() == 3
    board.announce(other)
    assert looks() == 1
    store.named[LIVE] = "b"
    assert looks() == 3


def test_what_can_not_be_served_is_refused_once_and_told(world):
    """It is not fetched again at every look, and the reason stands on the board."""
    store, board, cache, adopter = world
    cache.bad.add("b")
    ranking = adopter()
    ranking.look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    for _ in range(3):
        ranking.look()
    assert cache.fetched.count("b") == 1
    assert ranking.held == ("a",)
    assert "Part x" in board.processes()[0].refused["b"]
    store.named[LIVE] = "c"
    store.named[PREVIOUS] = None
    ranking.look()
    assert ranking.holding.refused == {}


def test_a_process_that_starts_while_a_bad_one_is_live_takes_the_one_before(world):
    """Else a restart would turn a bad publish into an outage."""
    store, _, cache, adopter = world
    cache.bad.add("b")
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    ranking = adopter()
    ranking.look()
    assert ranking.held == ("a",)


def test_a_process_that_starts_holds_what_gateways_answer_from(world):
    """Whatever the aliases say by then."""
    store, board, _, adopter = world
    board.announce(Holding("gateway x 1", "gateway", ("old",), "old"))
    store.named[LIVE] = "new"
    ranking = adopter()
    ranking.look()
    assert set(ranking.held) == {"old", "new"}


def test_with_the_store_away_what_lies_on_this_host_is_held(world):
    """What was served last, first; and it says that the store is away."""
    store, _, _, adopter = world
    store.away = True
    ranking = adopter(spare=lambda: ["last", "pinned"])
    ranking.look()
    assert ranking.held == ("last",)
    assert ranking.outlook.fault == "No Redis answers."


def test_what_was_served_last_is_remembered(tiny_world, tmp_path):
    """By this host, for a start without a store; a name with nothing behind it is no memory."""
    spare = Spare(GenerationCache(tmp_path, MemoryStore()))
    spare.remember("g1")
    assert spare.ids() == []
    shutil.copytree(tiny_world[0].path, tmp_path / "g1")
    assert spare.ids() == ["g1"]


def test_a_pinned_generation_is_found_where_another_bento_had_one(tiny_world, tmp_path):
    """Its link in the cache is renewed; a link to what has gone costs nobody a fetch."""
    generation, store = tiny_world[0].manifest.id, MemoryStore()
    cache = GenerationCache(tmp_path / "cache", store)
    cache.link(generation, tmp_path / "gone")
    assert Spare(cache, tiny_world[0].path).ids() == [generation]
    assert cache.fetch(generation).verify().id == generation
    cache.link("g-old", tmp_path / "gone")
    tiny.publish(tiny_world[0], store)
    (tmp_path / "cache" / generation).unlink()
    assert cache.fetch(generation).verify().id == generation


def test_all_fall_back_together_where_one_refuses(world):
    """After a restart under a live generation that retrieval alone refuses, all three hold the one before."""
    store, board, _, _ = world
    store.named |= {LIVE: "c", PREVIOUS: "b"}
    roles = {
        role: Adopter(role, store, board, [GenerationHolder(Cache(*bad), str)])
        for role, bad in (("gateway", ()), ("ranking", ()), ("retrieval", ("c",)))
    }
    for _ in range(2):
        for adopter in roles.values():
            adopter.look()
    assert all("b" in adopter.held for adopter in roles.values())


def test_who_loads_for_long_is_heard_meanwhile(world, monkeypatch):
    """It stays on the board, or the gateway would move without it."""
    store, board, _, _ = world
    monkeypatch.setattr("service.generations.follower.ANNOUNCED_SECONDS", 0.04)
    told = []
    monkeypatch.setattr(board, "announce", told.append)
    Adopter("ranking", store, board, [GenerationHolder(Cache(), lambda name: time.sleep(0.2) or name)]).look()
    assert len(told) > 5
    assert told[0].held == ()
    assert told[-1].held == ("a",)


def test_what_is_no_news_is_not_said_at_every_look(world, monkeypatch):
    """Each is a write; but it is said again before it is forgotten, and where the store has it otherwise."""
    _, board, _, adopter = world
    ranking = adopter()
    said = []
    announce = board.announce
    monkeypatch.setattr(board, "announce", lambda holding: (said.append(holding), announce(holding)))

    def looks():
        said.clear()
        for _ in range(3):
            ranking.look()
        return len(said)

    assert looks() == 2  # with nothing held yet, and with what it then held
    assert looks() == 0
    board.withdraw(ranking.name)
    assert looks() == 1
    announce(replace(ranking.holding, held=()))
    assert looks() == 1
    ranking._said_at -= ANNOUNCED_SECONDS / 8
    assert looks() == 0
    ranking._said_at -= ANNOUNCED_SECONDS / 4
    assert looks() == 1


def test_who_has_stopped_comes_not_back(world):
    """A look or a gateway's word that was under way would put it on the board again, and others would wait for it."""
    _, board, _, adopter = world
    ranking = adopter()
    ranking.look()
    assert board.processes() != []
    ranking.stop()
    ranking.look()
    assert board.processes() == []


def test_an_error_nobody_foresaw_is_a_refusal(world):
    """What a library raises over a damaged file must not end the thread that would take the rollback."""
    store, board, _, _ = world

    def load(generation):
        if generation == "b":
            raise AttributeError("'NoneType' object has no attribute 'items'")
        return generation

    adopter = Adopter("ranking", store, board, [GenerationHolder(Cache(), load)])
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    adopter.look()
    assert "NoneType" in adopter.holding.refused["b"]
    assert adopter.held == ("a",)


def test_what_was_let_go_is_freed(world):
    """Also where it holds itself in a circle: else each night's generation would stay in memory and on the disk."""
    store, board, _, _ = world
    alive = []

    class Circle:
        def __init__(self, name):
            self.me = self
            alive.append(weakref.ref(self))

    adopter = Adopter("ranking", store, board, [GenerationHolder(Cache(), Circle)])
    for night in range(8):
        store.named[LIVE] = f"g{night}"
        adopter.look()
    adopter.look()
    assert sum(ref() is not None for ref in alive) <= HELD + 1


def test_a_disk_that_can_not_be_written_costs_only_the_memory(tmp_path):
    """Serving goes on."""
    Spare(GenerationCache(tmp_path / "missing", MemoryStore())).remember("g1")


def test_the_reason_why_a_process_is_not_ready_is_logged_once(world, caplog):
    """As a sentence that anybody may read: no address, and no error of another's. Ready, it says so once."""
    store, _, cache, adopter = world
    caplog.set_level("INFO", "tandem")
    ranking, reasons = adopter(), []

    def look():
        for _ in range(3):
            ranking.look()
        reasons.append(ranking.unready_backend)

    store.away = True
    look()
    store.away = False
    store.named[LIVE] = None
    look()
    cache.bad.add("b")
    store.named[LIVE] = "b"
    look()
    store.named[LIVE] = "a"
    look()
    assert reasons == ["Redis does not answer.", NOTHING_LIVE, REFUSED, None]
    told = [record.getMessage() for record in caplog.records if "eady" in record.msg]
    assert told == [*(f"Not ready: {reason}" for reason in reasons[:-1]), "Ready."]
