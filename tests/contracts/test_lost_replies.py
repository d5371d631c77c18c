"""A call whose reply is lost with the connection, which redis-py sends again, has its effect once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from recsys.store import RedisUserStore
from recsys.store.redis.event_counters import RedisCountReader
from tests.contracts.stores import LONG, Store, click
from tests.servers.store_proxy import StoreProxy

EVAL = b"EVAL\r\n"


@pytest.fixture
def proxy(store: Store) -> Iterator[StoreProxy]:
    """A proxy of the store, which can lose a reply."""
    with StoreProxy(lambda: store.url) as proxy:
        yield proxy


@pytest.fixture
def cut(store: Store, proxy: StoreProxy) -> Store:
    """The store, whose users are reached through the proxy."""
    return replace(store, open_users=lambda: RedisUserStore(proxy.url, LONG))


def entries(store: Store, stream: str) -> int:
    return int(store.client.xlen(stream))


class TestEvents:
    def test_an_event_without_an_id_is_stored_once(self, cut: Store, proxy: StoreProxy) -> None:
        """In the history, in the log and in the counts. The answer is that of the first call."""
        at = time.time() - 7_200
        proxy.lose_reply(EVAL)
        assert cut.add(click("a", at), click("a", at), click("b", at, user="8")) == 3
        assert proxy.lost == 1
        assert [event.item_id for user in ("7", "8") for event in cut.read("g1", user)[0].events] == ["a", "a", "b"]
        assert entries(cut, "events") == 3
        counts = RedisCountReader(cut.url)
        assert counts.read().by_hour.totals.tolist()[-1] == 3
        counts.close()

    def test_an_event_with_an_id_is_answered_as_stored(self, cut: Store, proxy: StoreProxy) -> None:
        """A repeated call counted no event as new."""
        proxy.lose_reply(EVAL)
        assert cut.add(click("a", name="e1"), click("b", name="e2")) == 2
        assert cut.add(click("a", name="e1"), click("c", name="e3")) == 1
        assert proxy.lost == 1
        assert [event.item_id for event in cut.read("g1", "7")[0].events] == ["a", "b", "c"]


def test_an_impression_is_logged_once(cut: Store, proxy: StoreProxy) -> None:
    """A slate that is logged twice would count twice in the report of an experiment."""
    proxy.lose_reply(EVAL)
    cut.users(lambda users: users.add_impressions([("7", b"one"), ("8", b"two")]))
    assert proxy.lost == 1
    assert [shown.data for shown in cut.flows.read_impressions()] == [b"one", b"two"]


def test_a_merge_has_its_effect_once(cut: Store, proxy: StoreProxy) -> None:
    """The moved events are in the history and in the log of the other user once."""
    cut.add(click("a", 1.0, user="visitor"), click("b", 2.0, user="visitor"), click("c", 3.0, user="login"))
    proxy.lose_reply(EVAL)
    assert cut.users(lambda users: users.merge_user("visitor", "login", [click("old", 0.5, user="visitor")])) == 4
    assert proxy.lost == 1
    assert [event.item_id for event in cut.read("g1", "login")[0].events] == ["old", "a", "b", "c"]
    logged = [each.event.item_id for each in cut.flows.read_log() if each.event.user_id == "login"]
    assert sorted(logged) == ["a", "b", "c"]


def deletion(user: str) -> Callable[[Any], Awaitable[Any]]:
    return lambda users: users.forget_user(user)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_deletion_loses_no_event_of_others(cut: Store, proxy: StoreProxy, step: int) -> None:
    """A lost reply to any step of the copy of the log: its first, a later and its last one."""
    for each in range(3):
        cut.add(*[click(f"{n}", user=f"user {each}-{n}") for n in range(400)])
    cut.add(click("x", user="leaves"))
    before = [logged for logged in cut.flows.read_log(count=9_999) if logged.event.user_id != "leaves"]
    proxy.lose_reply(b"XSETID", step)
    cut.users(deletion("leaves"))
    assert proxy.lost == 1
    assert cut.flows.read_log(count=9_999) == before
