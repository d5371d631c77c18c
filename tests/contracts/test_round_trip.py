"""Many commands in one round trip, on the stores that have sockets."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from recsys.store.round_trip import packed, round_trip


def asked(url, commands, seconds=5.0, before=None):
    """What a client of its own is told."""

    async def ask():
        client = redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)))
        try:
            if before:
                await before(client)
            return await round_trip(client, commands, seconds)
        finally:
            await client.aclose()

    return asyncio.run(ask())


def test_commands_go_as_redis_reads_them():
    """With lengths in bytes, whatever the bytes are."""
    assert packed([(b"GET", b"a\r\n\xff"), (b"PING",)]) == b"*2\r\n$3\r\nGET\r\n$4\r\na\r\n\xff\r\n*1\r\n$4\r\nPING\r\n"


def test_each_command_has_its_reply(real):
    """In order; one that is refused costs the others nothing."""
    commands = [(b"SET", b"k", b"v\r\n"), (b"LRANGE", b"k", b"0", b"-1"), (b"GET", b"k"), (b"HGET", b"h", b"f")]
    ok, refused, value, missing = asked(real.url, commands)
    assert (ok, value, missing) == (b"OK", b"v\r\n", None)
    assert isinstance(refused, redis.ResponseError)
    assert str(refused).startswith("WRONGTYPE")


def test_an_answer_that_is_late_is_nobodys(real):
    """Whoever asks next on that client gets their own."""

    async def late(client):
        for _ in range(3):
            await client.set("mine", "1")
            start = time.monotonic()
            with pytest.raises(redis.TimeoutError):
                await round_trip(client, [(b"GET", b"mine"), (b"BLPOP", b"nothing", b"0.4")], 0.1)
            assert time.monotonic() - start < 0.3

    assert asked(real.url, [(b"ECHO", b"yours")], before=late) == [b"yours"]


def test_one_who_gives_up_leaves_nothing_behind(real):
    """Cancelled while the store is still busy with it."""

    async def leave(client):
        for _ in range(3):
            call = asyncio.create_task(round_trip(client, [(b"BLPOP", b"nothing", b"0.3")], 5.0))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    assert asked(real.url, [(b"ECHO", b"yours")], before=leave) == [b"yours"]


def test_a_connection_that_broke_is_made_anew(real):
    """The store closed it: nobody hears of that."""

    async def broken(client):
        await client.ping()
        own = await client.client_id()
        with redis.Redis.from_url(real.url) as other:
            other.client_kill_filter(_id=own)

    assert asked(real.url, [(b"ECHO", b"still")], before=broken) == [b"still"]
