"""What a process holds and announces: with a board, a store and generations that are words."""

import shutil
import time
import weakref

import pytest

from recsys.errors import NOTHING_LIVE, StoreError, StoreUnavailable
from recsys.generation.cache import GenerationCache
from recsys.store import MemoryStore
from recsys.store.ports import LIVE, PREVIOUS
from recsys.store.process_board import Announcement
from service.generations.fallback import GenerationFallback
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.readiness import REFUSED
from tests.fakes import fake_generations
from tests.fakes.fake_generations import Cache
from tests.sample_data import tiny


@pytest.fixture
def world():
    return fake_generations.made()


def test_what_is_live_is_held_and_announced(world):
    """The generation that goes live next is held beside it."""
    store, board, _, follower = world
    ranking = follower()
    ranking.look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    ranking.look()
    assert ranking.held == {"a", "b"}
    assert [process.held for process in board.processes()] == [("a", "b")]


AWAY = "No Redis answers."


@pytest.mark.parametrize("error", [StoreUnavailable(AWAY), StoreError("The user may not read.")])
def test_an_unreadable_board_is_not_an_empty_board(world, monkeypatch, error):
    """With an empty board a gateway would move."""
    _, board, _, follower = world

    def fail():
        raise error

    monkeypatch.setattr(board, "processes", fail)
    gateway = follower("gateway")
    gateway.look()
    assert gateway.state.fault == str(error)
    assert gateway.held == {"a"}


def test_a_refused_generation_is_announced_and_tried_again_later(world, monkeypatch):
    """It is not fetched at every look, and the refusal ends when it could be loaded."""
    store, board, cache, follower = world
    cache.bad.add("b")
    ranking = follower()
    ranking.look()
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    for _ in range(3):
        ranking.look()
    assert cache.fetched.count("b") == 1
    assert ranking.held == {"a"}
    assert "Part x" in board.processes()[0].refused["b"]
    cache.bad.clear()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    ranking.look()
    assert ranking.held == {"a", "b"}
    assert board.processes()[0].refused == {}


def test_a_process_that_starts_while_a_bad_generation_is_live_holds_the_previous_one(world):
    """Else a restart would turn a bad publish into an outage."""
    store, _, cache, follower = world
    cache.bad.add("b")
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    ranking = follower()
    ranking.look()
    assert ranking.held == {"a"}


def test_a_process_that_starts_holds_what_gateways_answer_from(world):
    """Whatever the aliases name by then."""
    store, board, _, follower = world
    board.announce(Announcement("gateway x 1", "gateway", ("old",), ("old",)))
    store.named[LIVE] = "new"
    ranking = follower()
    ranking.look()
    assert ranking.held == {"old", "new"}


def test_a_refused_generation_of_one_alias_leaves_the_other(world):
    """Each alias is followed, and only `live` has fallbacks."""
    store, _, cache, follower = world
    cache.bad.add("b")
    store.named |= {"arm": "b", PREVIOUS: "p"}
    ranking = follower(aliases=(LIVE, "arm"))
    ranking.look()
    assert ranking.held == {"a"}
    assert set(ranking.refusals) == {"b"}
    store.named["arm"] = "c"
    ranking.look()
    assert ranking.held == {"a", "c"}


def test_with_the_store_away_what_lies_on_this_host_is_held(world):
    """The generation that was served last comes first; the state names the fault."""
    store, _, _, follower = world
    store.away = True
    ranking = follower(fallback=lambda: ["last", "pinned"])
    ranking.look()
    assert ranking.held == {"last"}
    assert ranking.state.fault == AWAY


def test_a_host_remembers_what_it_served_last(tiny_world, tmp_path):
    """A remembered generation that is not in the cache is left out."""
    fallback = GenerationFallback(GenerationCache(tmp_path, MemoryStore()))
    fallback.remember("g1")
    assert fallback.ids() == []
    shutil.copytree(tiny_world[0].path, tmp_path / "g1")
    assert fallback.ids() == ["g1"]


def test_a_disk_that_can_not_be_written_costs_only_the_memory(tmp_path):
    """Serving goes on."""
    GenerationFallback(GenerationCache(tmp_path / "missing", MemoryStore())).remember("g1")


def test_a_pinned_generation_is_found_where_another_bento_had_one(tiny_world, tmp_path):
    """Its link in the cache is renewed, and a link to a folder that is gone does not stop a fetch."""
    generation, store = tiny_world[0].manifest.id, MemoryStore()
    cache = GenerationCache(tmp_path / "cache", store)
    cache.link(generation, tmp_path / "gone")
    assert GenerationFallback(cache, tiny_world[0].path).ids() == [generation]
    assert cache.fetch(generation).verify().id == generation
    cache.link("g-old", tmp_path / "gone")
    tiny.publish(tiny_world[0], store)
    (tmp_path / "cache" / generation).unlink()
    assert cache.fetch(generation).verify().id == generation


def test_all_processes_fall_back_together_where_one_refuses(world):
    """After a restart under a live generation that retrieval alone refuses, all hold the previous one."""
    store, board, _, _ = world
    store.named |= {LIVE: "c", PREVIOUS: "b"}
    followers = [
        GenerationFollower(role, store, board, [GenerationHolder(Cache(*bad), str)])
        for role, bad in (("gateway", ()), ("ranking", ()), ("retrieval", ("c",)))
    ]
    for _ in range(2):
        for each in followers:
            each.look()
    assert all("b" in each.held for each in followers)


def test_a_process_that_loads_for_long_announces_itself_meanwhile(world, monkeypatch):
    """It stays on the board, or the gateway would move without it."""
    _, board, _, follower = world
    monkeypatch.setattr("service.generations.follower.ANNOUNCED_SECONDS", 0.04)
    announced = []
    monkeypatch.setattr(board, "announce", announced.append)
    follower(load=lambda name: time.sleep(0.2) or name).look()
    assert len(announced) > 5
    assert announced[0].held == ()
    assert announced[-1].held == ("a",)


def test_an_unchanged_announcement_is_not_written_at_every_look(world, monkeypatch):
    """Each write may wait for the store's disk."""
    _, board, _, follower = world
    ranking = follower()
    ranking.look()
    written = []
    monkeypatch.setattr(board, "announce", written.append)
    for _ in range(3):
        ranking.look()
    assert written == []


def test_a_stopped_process_stays_off_the_board(world):
    """A look that ends after the stop does not announce it again, and no gateway waits for it."""
    _, board, _, follower = world
    ranking = follower()
    ranking.look()
    assert board.processes() != []
    ranking.stop()
    ranking.look()
    assert board.processes() == []


def test_an_unforeseen_error_is_a_refusal(world):
    """What a library raises over a damaged file must not end the thread that would follow the rollback."""
    store, _, _, follower = world

    def load(generation):
        if generation == "b":
            raise AttributeError("'NoneType' object has no attribute 'items'")
        return generation

    ranking = follower(load=load)
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    ranking.look()
    assert "NoneType" in ranking.holding.refused["b"]
    assert ranking.held == {"a"}


def test_a_dropped_generation_is_freed(world):
    """Also where it refers to itself: else each night's generation would stay in memory and on the disk."""
    store, _, _, follower = world
    alive = []

    class Circle:
        def __init__(self, name):
            self.me = self
            alive.append(weakref.ref(self))

    ranking = follower(load=Circle)
    for night in range(8):
        store.named[LIVE] = f"g{night}"
        ranking.look()
    assert sum(ref() is not None for ref in alive) <= 2


def test_the_reason_why_a_process_is_not_ready_is_logged_once(world, caplog):
    """As a sentence that anybody may read: no address, and no error of another process. Ready is logged once, too."""
    store, _, cache, follower = world
    caplog.set_level("INFO", "tandem")
    ranking, reasons = follower(), []

    def look():
        for _ in range(3):
            ranking.look()
        reasons.append(ranking.unready)

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
    logged = [record.getMessage() for record in caplog.records if "eady" in record.msg]
    assert logged == [*(f"Not ready: {reason}" for reason in reasons[:-1]), "Ready."]
