"""Many commands in one round trip, on the stores that have sockets."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
import redis.asyncio
import uvloop
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from recsys.store.redis.connection import round_trip


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request):
    """The event loop of a test, and the one of a worker."""
    return request.param


@pytest.fixture
def replies(real, run):
    """The replies to commands, on a client of its own."""

    def trip(commands, seconds=5.0, before=None):
        async def work():
            retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
            async with redis.asyncio.Redis.from_url(real.url, socket_timeout=None, retry=retry) as client:
                if before:
                    await before(client)
                return await round_trip(client, commands, seconds)

        return run(work())

    return trip


def test_each_command_has_its_reply(replies):
    """Replies come in the order of the commands, and a refused command leaves the other replies as they are."""
    commands = [(b"SET", b"k", b"v\r\n"), (b"LRANGE", b"k", b"0", b"-1"), (b"GET", b"k"), (b"HGET", b"h", b"f")]
    ok, refused, value, missing = replies(commands)
    assert (ok, value, missing) == (b"OK", b"v\r\n", None)
    assert isinstance(refused, redis.ResponseError)
    assert str(refused).startswith("WRONGTYPE")


def test_a_late_reply_reaches_no_later_call(replies):
    """A call ends at its limit, and the next call gets its own replies."""

    async def late(client):
        for _ in range(3):
            await round_trip(client, [(b"SET", b"mine", b"1")], 5.0)
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                await round_trip(client, [(b"GET", b"mine"), (b"BLPOP", b"nothing", b"0.4")], 0.1)
            assert time.monotonic() - start < 0.3

    assert replies([(b"ECHO", b"yours")], before=late) == [b"yours"]


def test_the_limit_holds_for_all_replies_together(replies):
    """Replies that each come within the limit, and together do not, end the call at the limit."""

    async def slow(client):
        with pytest.raises(TimeoutError):
            await round_trip(client, [(b"BLPOP", b"nothing", b"0.15")] * 4, 0.3)

    assert replies([(b"ECHO", b"yours")], before=slow) == [b"yours"]


def test_a_cancelled_call_leaves_no_reply_behind(replies):
    """A call that is cancelled while the store still works on it does not disturb the next call."""

    async def cancelled(client):
        for _ in range(3):
            call = asyncio.create_task(round_trip(client, [(b"BLPOP", b"nothing", b"9")], 5.0))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    assert replies([(b"ECHO", b"yours")], before=cancelled) == [b"yours"]


def test_a_closed_connection_is_replaced(replies, real):
    """The store closed an idle connection: the next call succeeds, whether or not the client has noticed."""

    async def closed(client):
        for pause in (0.0, 0.1):
            (own,) = await round_trip(client, [(b"CLIENT", b"ID")], 5.0)
            with redis.Redis.from_url(real.url) as other:
                other.client_kill_filter(_id=own)
            await asyncio.sleep(pause)
            assert await round_trip(client, [(b"CLIENT", b"ID")], 5.0) != [own]

    assert replies([(b"ECHO", b"still")], before=closed) == [b"still"]


def test_a_connection_that_closes_again_is_an_error(replies, real):
    """A call whose retry loses its connection, too, fails with redis.ConnectionError."""

    async def killed(client):
        call = asyncio.create_task(round_trip(client, [(b"BLPOP", b"nothing", b"9")], 5.0))
        with redis.Redis.from_url(real.url) as other:
            while not call.done():
                await asyncio.sleep(0.02)
                for each in other.client_list():
                    if each["cmd"] == "blpop":
                        other.client_kill_filter(_id=each["id"])
        with pytest.raises(redis.ConnectionError):
            await call

    assert replies([(b"PING",)], before=killed) == [b"PONG"]
