"""What a user of the server must be allowed to, as docs/reliability.md has it: to serve, and to take what users do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import StoreError
from recsys.store import RedisUserStore
from recsys.store.base import Trending
from tests.contracts.stores import Store, click, manifest, user_of

TOLD = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
ANYWHERE = ("~*", "resetchannels")
SERVES = ("+@read", "+@connection", *ANYWHERE)


def takes() -> tuple[str, ...]:
    """The rights that the documentation names for a gateway that takes what users do."""
    (line,) = re.findall(r"^ACL SETUSER gateway on >PASSWORD (.+)$", TOLD, re.MULTILINE)
    return tuple(line.split())


def as_user(url: str, work: Callable[[RedisUserStore], Awaitable[Any]]) -> Any:
    async def with_store() -> Any:
        store = RedisUserStore(url)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(with_store())


def test_reading_is_enough_to_serve(real: Store) -> None:
    """Users and trends are read; an event, an impression and a forgetting are each refused in a sentence."""
    real.publish("g1")
    real.flows.write_lists("g1", 2, {"7": b"list"})
    real.flows.write_trending(Trending(1.0, (("a", 1.0),)))
    with user_of(real, "reader", *SERVES) as url:
        (state,) = as_user(url, lambda store: store.read_users("g1", manifest("g1").user_buckets, ["7"]))
        assert (state.record, state.listed) == (b"record", b"list")
        assert as_user(url, lambda store: store.read_trending()) == Trending(1.0, (("a", 1.0),))
        works: list[Callable[[RedisUserStore], Awaitable[Any]]] = [
            lambda store: store.add_events([click("a")]),
            lambda store: store.add_impressions([("7", b"shown")]),
            lambda store: store.forget_user("7"),
        ]
        for work in works:
            with pytest.raises(StoreError, match=r"^Redis refused: .*permission"):
                as_user(url, work)
    assert real.read("g1", "7")[0].record == b"record"
    assert real.client.keys("events") + real.client.keys("impressions") == []


def test_what_the_documentation_names_is_enough(real: Store) -> None:
    """Events, impressions and forgetting work with those rights; generations and aliases can't be touched with them."""
    real.publish("g1")
    real.flows.write_lists("g1", 2, {"7": b"list"})
    real.add(click("to be dropped", 1.0))
    with user_of(real, "gateway", *takes()) as url:
        now = time.time()
        told = [click("a", now, "e1"), click("b", now, "e2")]
        for stored in (2, 0):
            assert as_user(url, lambda store: store.add_events(told)) == stored
        as_user(url, lambda store: store.add_impressions([("7", b"shown")]))
        assert as_user(url, lambda store: store.read_trending()) is None
        (state,) = as_user(url, lambda store: store.read_users("g1", manifest("g1").user_buckets, ["7"]))
        assert [event.item_id for event in state.events] == ["a", "b"]
        assert as_user(url, lambda store: store.add_events([click("c", now, "e3", "8")])) == 1
        assert as_user(url, lambda store: store.merge_user("8", "7")) == 3
        as_user(url, lambda store: store.forget_streams(["8"]))
        as_user(url, lambda store: store.forget_user("7"))
    (state,) = real.read("g1", "7")
    assert (state.record, state.events, state.listed) == (None, [], None)
    assert real.flows.read_log() == []
    assert real.flows.read_impressions() == []


@pytest.mark.parametrize("command", [("SET", "alias:live", "g9"), ("UNLINK", "gen:g1:manifest"), ("FLUSHALL",)])
def test_no_more_than_enough(real: Store, command: tuple[str, ...]) -> None:
    """With those rights nobody moves an alias or removes a generation."""
    real.publish("g1")
    with user_of(real, "gateway", *takes()) as url:

        async def reach(store: RedisUserStore) -> None:
            await store._redis.execute_command(*command)

        with pytest.raises(Exception, match="permission"):
            as_user(url, reach)
    assert real.client.exists("gen:g1:manifest") == 1
