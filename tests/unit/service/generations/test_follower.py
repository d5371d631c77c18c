"""The generations that a process holds and announces, with a fake registry, store and generations."""

import threading
import time
import weakref

import pytest

from recsys.errors import NOTHING_LIVE, StoreError, StoreUnavailable
from recsys.store.stored_types import LIVE, PREVIOUS
from service.generations.readiness import REFUSED
from tests.fakes import fake_generations
from tests.fakes.fake_generations import Experiments, refresh, refresh_until
from tests.servers.deployment import wait_for


@pytest.fixture
def world():
    return fake_generations.made()


AWAY = "No Redis answers."


@pytest.mark.parametrize("error", [StoreUnavailable(AWAY), StoreError("The user may not read.")])
def test_an_unreadable_registry_is_not_an_empty_one(world, monkeypatch, error):
    """With an empty registry a gateway would move its alias."""
    _, registry, _, follower = world

    def fail():
        raise error

    monkeypatch.setattr(registry, "processes", fail)
    gateway = follower("gateway")
    refresh(gateway)
    assert gateway.state.fault == str(error)
    assert gateway.held == {"a"}


def test_a_refused_generation_is_announced_and_tried_again_later(world, monkeypatch):
    """It is not fetched at every refresh, and the refusal ends when the generation can be loaded."""
    store, registry, cache, follower = world
    cache.bad.add("b")
    ranking = follower()
    refresh(ranking)
    store.named |= {LIVE: "b", PREVIOUS: "a"}
    for _ in range(3):
        refresh(ranking)
    assert cache.fetched.count("b") == 1
    assert ranking.held == {"a"}
    assert "Part x" in registry.processes()[0].refused["b"]
    cache.bad.clear()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    refresh(ranking)
    assert ranking.held == {"a", "b"}
    assert registry.processes()[0].refused == {}


def test_the_generation_of_a_stopped_experiment_is_dropped_later(world, monkeypatch):
    """Queries that hold it end first. The live generation stays, also if it was an arm's."""
    store, _, _, follower = world
    arms = Experiments()
    ranking = follower(arms=arms)
    arms.answer_from("b", "c")
    refresh_until(ranking, lambda: ranking.held == {"a", "b", "c"})
    store.named[LIVE] = "c"
    arms.answer_from()
    refresh(ranking)
    assert ranking.held == {"a", "b", "c"}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    refresh(ranking)
    assert ranking.held == {"a", "c"}


def test_experiments_that_may_not_be_read_leave_the_live_generation(world, caplog):
    """As with a Redis user from before there were experiments. The log has one line."""
    _, _, _, follower = world
    arms = Experiments()

    def refused():
        raise StoreError("Redis refused: this user has no permissions.")

    arms.read = refused
    ranking = follower(arms=arms)
    for _ in range(3):
        refresh(ranking)
    assert ranking.held == {"a"}
    assert ranking.state.fault is None
    assert caplog.text.count("Experiments can't be read") == 1


def test_a_process_that_loads_for_long_announces_itself_meanwhile(world, monkeypatch):
    """It stays in the registry, or the gateway would move without it."""
    _, registry, _, follower = world
    monkeypatch.setattr("service.generations.follower.ANNOUNCED_SECONDS", 0.04)
    announced, go_on = [], threading.Event()
    monkeypatch.setattr(registry, "announce", announced.append)
    ranking = follower(load=lambda name: go_on.wait(30) and name, poll_seconds=0.02)
    starting = threading.Thread(target=ranking.start)
    starting.start()
    wait_for(lambda: len(announced) > 5, 20)
    assert announced[-1].held == ()
    go_on.set()
    starting.join()
    wait_for(lambda: announced[-1].held == ("a",), 20)
    ranking.stop()


def test_a_stop_ends_a_start_that_waits_for_a_load(world):
    """Else a gateway that is told to end while it loads its first generation would go on until the load has ended."""
    *_, follower = world
    loading, go_on = threading.Event(), threading.Event()
    ranking = follower(load=lambda name: loading.set() or (go_on.wait(60) and name))
    starting = threading.Thread(target=ranking.start)
    starting.start()
    try:
        assert loading.wait(20)
        ranking.stop()
        starting.join(20)
        assert not starting.is_alive()
    finally:
        go_on.set()


def test_a_dropped_generation_is_freed(world):
    """Also one that refers to itself, or each night's generation would stay in memory."""
    store, _, _, follower = world
    alive = []

    class Circle:
        def __init__(self, name):
            self.me = self
            alive.append(weakref.ref(self))

    ranking = follower(load=Circle)
    for night in range(8):
        store.named[LIVE] = f"g{night}"
        refresh(ranking)
    assert sum(ref() is not None for ref in alive) <= 2


def test_the_reason_why_a_process_is_not_ready_is_logged_once(world, caplog):
    """As a sentence without an address and without errors of other processes. Readiness is logged once, too."""
    store, _, cache, follower = world
    caplog.set_level("INFO", "tandem")
    ranking, reasons = follower(), []

    def look():
        for _ in range(3):
            refresh(ranking)
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
