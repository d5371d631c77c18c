"""Deletion of users from the streams, to the last byte: XDEL alone leaves the bytes of entries in place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from recsys.errors import StoreError
from recsys.store.redis.scripts import COPY_ENTRIES, MARK_ENTRIES
from tests.contracts.stores import Store, click
from tests.contracts.users.test_forget_user import USER, fill


def test_no_byte_is_left_in_a_dump(store: Store) -> None:
    """Dumps, backups and replicas have no byte of a deleted user."""
    with uncompressed(store):
        fill(store)
        assert in_dumps(store, USER)
        store.users(lambda users: users.forget_user(USER))
        assert in_dumps(store, USER) == []
    assert [entry.data for entry in store.flows.read_impressions()] == [b"shown to 7"]


def test_concurrent_deletions_and_writes(store: Store) -> None:
    """No deletion restores entries of another one, and concurrent writes are kept."""
    gone = [f"to forget {n}" for n in range(8)]
    for each in range(3):
        store.add(*[click(f"{each}", user=user) for user in gone], *[click(f"{n}", user="7") for n in range(300)])

    async def scene(users: Any) -> None:
        stores = [store.open_users() for _ in gone]
        forgetting = [opened.forget_user(user) for opened, user in zip(stores, gone, strict=True)]
        adding = [users.add_events([click(f"new {n}", user="8")]) for n in range(50)]
        try:
            await asyncio.gather(*forgetting, *adding)
        finally:
            for opened in stores:
                await opened.close()

    with uncompressed(store):
        store.users(scene)
        assert in_dumps(store, "to forget") == []
    logged = [str(logged.event.user_id) for logged in store.flows.read_log(count=9_999)]
    assert (logged.count("7"), logged.count("8"), len(logged)) == (900, 50, 950)


@pytest.mark.parametrize(("script", "kept"), [(MARK_ENTRIES, []), (COPY_ENTRIES, ["late"])], ids=["marking", "copying"])
def test_an_event_during_a_deletion(store: Store, script: str, kept: list[str]) -> None:
    """It is in the history and in the log, or in neither: events before the end of the marking are deleted."""
    fill(store)

    async def scene(users: Any) -> None:
        run, added = users._redis.eval, []

        async def late(run_now: str, keys: int, *values: Any) -> Any:
            if run_now == script and values[1] == "events" and not added:
                added.append(await users.add_events([click("late", user=USER, name="late")]))
            return await run(run_now, keys, *values)

        users._redis.eval = late
        await users.forget_user(USER)
        assert added == [1]

    store.users(scene)
    assert [event.item_id for event in store.read("g1", USER)[0].events] == kept
    assert [logged.event.item_id for logged in store.flows.read_log() if logged.event.user_id == USER] == kept
    assert store.add(click("late", user=USER, name="late")) == 1 - len(kept)


@pytest.mark.parametrize("script", [MARK_ENTRIES, COPY_ENTRIES], ids=["marking", "copying"])
def test_a_deletion_that_lost_its_lock_starts_again(store: Store, script: str) -> None:
    """An outdated copy never replaces a stream from which another process deleted a user."""
    fill(store)

    async def scene(users: Any) -> None:
        run, outcomes = users._redis.eval, []

        async def overtaken(run_now: str, keys: int, *values: Any) -> Any:
            if run_now == script and not outcomes:
                store.client.set(values[0], "another", px=100)
            reply = await run(run_now, keys, *values)
            if run_now == script:
                outcomes.append(reply[0])
            return reply

        users._redis.eval = overtaken
        await users.forget_impressions(USER)
        assert outcomes == [b"stale", b"done"]

    store.users(scene)
    assert [entry.data for entry in store.flows.read_impressions()] == [b"shown to 7"]


def test_in_a_full_store(store: Store) -> None:
    """The user is no longer readable, although the copy is refused; with room, no byte is left."""
    fill(store)
    store.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match="is full"):
            store.users(lambda users: users.forget_user(USER))
        (state,) = store.read("g1", USER)
        assert (state.record, state.events, state.listed) == (None, [], None)
        assert {str(logged.event.user_id) for logged in store.flows.read_log()} == {"7"}
        assert [entry.data for entry in store.flows.read_impressions()] == [b"shown to 7"]
        assert store.client.keys("*:forgetting") == []
    finally:
        store.client.config_set("maxmemory", 0)
    with uncompressed(store):
        store.users(lambda users: users.forget_user(USER))
        assert in_dumps(store, USER) == []


@contextmanager
def uncompressed(store: Store) -> Iterator[None]:
    """Make dumps of the server readable."""
    store.client.config_set("rdbcompression", "no")
    try:
        yield
    finally:
        store.client.config_set("rdbcompression", "yes")


def in_dumps(store: Store, text: str) -> list[bytes]:
    """The keys with a text in their name or in the bytes of their value."""
    return [key for key in store.client.scan_iter() if text.encode() in key + (store.client.dump(key) or b"")]
