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

from recsys.store.round_trip import KEEPS, RoundTrips


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request):
    """The loop of a test, and the one of a worker."""
    return request.param


@pytest.fixture
def asked(real, run):
    """What a client of its own is told."""

    def told(commands, seconds=5.0, before=None):
        async def ask():
            client = redis.asyncio.Redis.from_url(real.url, retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)))
            trips = RoundTrips(client, seconds)
            try:
                if before:
                    await before(trips)
                return await trips.ask(commands)
            finally:
                await trips.close()
                await client.aclose()

        return run(ask())

    return told


def test_commands_go_as_redis_reads_them(asked):
    """With lengths in bytes, whatever the bytes are."""
    assert asked([(b"ECHO", b"a\r\n\xff"), (b"PING",), (b"ECHO", b"")]) == [b"a\r\n\xff", b"PONG", b""]


def test_each_command_has_its_reply(asked):
    """In order; one that is refused costs the others nothing."""
    commands = [(b"SET", b"k", b"v\r\n"), (b"LRANGE", b"k", b"0", b"-1"), (b"GET", b"k"), (b"HGET", b"h", b"f")]
    ok, refused, value, missing = asked(commands)
    assert (ok, value, missing) == (b"OK", b"v\r\n", None)
    assert isinstance(refused, redis.ResponseError)
    assert str(refused).startswith("WRONGTYPE")


def test_replies_that_come_in_pieces_are_whole(asked):
    """Larger than what is read at once, beside a short one."""
    large = bytes(range(256)) * 8_192
    assert asked([(b"SET", b"large", large), (b"GET", b"large"), (b"PING",)]) == [b"OK", large, b"PONG"]


def test_an_answer_that_is_late_is_nobodys(asked):
    """Whoever asks next gets their own."""

    async def late(trips):
        for _ in range(3):
            await trips.ask([(b"SET", b"mine", b"1")])
            start = time.monotonic()
            with pytest.raises(redis.TimeoutError):
                await trips.ask([(b"GET", b"mine"), (b"BLPOP", b"nothing", b"0.4")])
            assert time.monotonic() - start < 0.3

    assert asked([(b"ECHO", b"yours")], 0.1, before=late) == [b"yours"]


def test_one_who_gives_up_leaves_nothing_behind(asked):
    """Cancelled while the store is still busy with it."""

    async def leave(trips):
        for _ in range(3):
            call = asyncio.create_task(trips.ask([(b"BLPOP", b"nothing", b"9")]))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    assert asked([(b"ECHO", b"yours")], before=leave) == [b"yours"]


def test_questions_at_once_do_not_mix(asked):
    """Each has a connection of its own, which the next has after it."""

    async def many(trips):
        for _ in range(3):
            texts = [b"%d" % number for number in range(30)]
            replies = await asyncio.gather(*(trips.ask([(b"ECHO", text), (b"CLIENT", b"ID")]) for text in texts))
            assert [text for text, _ in replies] == texts
            own.append({number for _, number in replies})
            assert len(own[-1]) == 30
            assert len(trips._idle) == KEEPS

    own = []
    asked([(b"PING",)], before=many)
    assert len(own[0] & own[1]) == KEEPS


def test_a_connection_that_broke_is_made_anew(asked, real):
    """The store closed it: nobody hears of that, whether it was known when it was asked or not."""

    async def broken(trips):
        for beat in (0.0, 0.1):
            (own,) = await trips.ask([(b"CLIENT", b"ID")])
            with redis.Redis.from_url(real.url) as other:
                other.client_kill_filter(_id=own)
            await asyncio.sleep(beat)
            assert await trips.ask([(b"CLIENT", b"ID")]) != [own]

    assert asked([(b"ECHO", b"still")], before=broken) == [b"still"]


def test_a_connection_that_breaks_again_and_again_is_an_error(asked, real):
    """Not asked for ever: the one who waits is told."""

    async def killed(trips):
        call = asyncio.create_task(trips.ask([(b"BLPOP", b"nothing", b"9")]))
        with redis.Redis.from_url(real.url) as other:
            while not call.done():
                await asyncio.sleep(0.02)
                for each in other.client_list():
                    if each["cmd"] == "blpop":
                        other.client_kill_filter(_id=each["id"])
        with pytest.raises(redis.ConnectionError):
            await call

    assert asked([(b"PING",)], before=killed) == [b"PONG"]


def test_where_nobody_can_be_reached_it_is_tried_once(asked):
    """redis-py has tried again itself."""

    async def away(trips):
        tried = []

        async def opened():
            tried.append(1)
            raise redis.ConnectionError("nobody")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trips, "_opened", opened)
            with pytest.raises(redis.ConnectionError):
                await trips.ask([(b"PING",)])
        assert len(tried) == 1

    assert asked([(b"PING",)], before=away) == [b"PONG"]


def test_a_reply_too_many_is_nobodys(asked):
    """It ends the connection, and changes no answer that was given."""

    async def more(trips):
        await trips.ask([(b"PING",)])
        (line,) = trips._idle
        call = asyncio.create_task(trips.ask([(b"ECHO", b"mine")]))
        await asyncio.sleep(0)
        line.data_received(b"$4\r\nmine\r\n")
        line.data_received(b"$5\r\nyours\r\n")
        assert await call == [b"mine"]

    assert asked([(b"PING",)], before=more) == [b"PONG"]
