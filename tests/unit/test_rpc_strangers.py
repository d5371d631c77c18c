"""What strangers send to the calls of the gRPC door itself, frame by frame: health, reflection and a verb."""

import asyncio

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from service.edge import bounds
from service.grpc import frames, limits
from service.grpc.connection import Connection
from service.grpc.frames import frame
from service.grpc.health import Health, reflected
from service.grpc.server import Methods, Server
from service.schema.verdict import MAX_BODY
from tests.http2 import ASKED, PATH, Wire, body, head

CHECK, WATCH = b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch"
REFLECT = b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
PATHS = [PATH, CHECK, WATCH, REFLECT, b"/nobody/Knows"]


def asks(stream, path, end=False):
    return head(stream, end, [*((name, path if name == b":path" else value) for name, value in ASKED)])


def server():
    async def echo(message, _):
        return message

    health, methods = Health("here"), Methods()
    methods.add({PATH.decode(): echo}, MAX_BODY)
    methods.add(health.calls)
    methods.add_streams(health.streams)
    methods.add_streams(reflected(["tandem.v1.Recommender"]))
    return Server(methods)


def played(play, window=frames.WINDOW):
    """On the wire of a door, whose client takes so much of each answer at first."""

    async def run():
        made = server()
        wire = Wire(opens=made.open)
        made._connections.add(wire.connection)
        wire.tell(frames.PREFACE + frames.settings([(frames.INITIAL_WINDOW, window)]))
        async with asyncio.timeout(10):
            await play(wire)
        wire.connection.connection_lost(None)
        await asyncio.sleep(0)
        assert not wire.connection.streams
        assert not wire.connection._sweep._held

    asyncio.run(run())


@pytest.mark.parametrize(("known", "allowed"), [(False, 2), (True, 11)])
def test_who_asks_for_what_there_is_not_may_do_so_a_few_times(known, allowed):
    """Each is told so, the last with the end of its connection; of one that had an answer a few more."""

    async def play(wire):
        if known:
            wire.tell(asks(1, PATH) + body(1, b"you"))
            await asyncio.sleep(0.01)
        for number in range(allowed + 1):
            assert not wire.connection.lingers
            wire.tell(asks(2 * number + 3, b"/nobody/Knows", end=True))
            told = wire.heard
            assert any(each.stream == 2 * number + 3 for each in told)
        assert told[-1].kind == frames.GOAWAY
        assert wire.connection.lingers

    played(play)


def test_a_call_that_came_whole_is_refused_as_often():
    """Its head is known from the second time on, and so is that there is no such method."""
    encoder, blocks = Encoder(), []
    for _ in range(3):
        blocks.append(encoder.encode([*ASKED[:2], (b":path", b"/nobody/Knows"), *ASKED[3:]]))
    taken, way = [], Connection._is_call

    async def play(wire):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "_is_call", lambda self, data: taken.append(data) or way(self, data))
            for number, block in enumerate(blocks):
                stream = 2 * number + 1
                assert not wire.connection.lingers
                wire.tell(frame(frames.HEADERS, frames.END_HEADERS, stream, block) + body(stream, b"you"))
                told = wire.heard
                assert any(each.stream == stream for each in told)
        assert told[-1].kind == frames.GOAWAY
        assert len(taken) == 3

    played(play)


def test_an_answer_that_waits_for_its_client_is_not_late():
    """It was there in time; the client takes it when it likes."""

    async def play(wire):
        wire.tell(head(1, headers=[*ASKED, (b"grpc-timeout", b"40m")]) + body(1, b"you"))
        await asyncio.sleep(0.1)
        wire.tell(frames.settings([(frames.INITIAL_WINDOW, 100)]))
        *_, data, end = wire.heard
        assert (data.kind, data.payload[5:]) == (frames.DATA, b"you")
        assert wire.headers(end) == {b"grpc-status": b"0"}

    played(play, window=0)


@pytest.mark.parametrize("window", [0, frames.WINDOW])
@pytest.mark.parametrize("path", [WATCH, CHECK, REFLECT])
def test_health_and_reflection_take_little(path, window):
    """A message that says that it is large is refused when it says so, and nothing of it is kept."""

    async def play(wire):
        wire.tell(asks(1, path) + body(1, b"", end=False))
        await asyncio.sleep(0.01)
        for _ in range(3):
            if 1 in wire.connection.streams:
                wire.tell(frame(frames.DATA, 0, 1, b"\0" + (4 << 20).to_bytes(4, "big") + bytes(9000)))
        if 1 in wire.connection.streams:  # its end waits for a window: what comes meanwhile is nobody's
            wire.tell(frame(frames.DATA, 0, 1, b"\0\0\0\0\x09half"))
        assert wire.connection._buffered == 0
        assert not wire.closed

    played(play, window)


def test_what_a_watch_is_told_again_does_not_heap_up():
    """It reads one message; some more wait, and then it is refused."""

    async def play(wire):
        wire.tell(asks(1, WATCH) + body(1, b"", end=False))
        await asyncio.sleep(0.01)
        for _ in range(limits.MESSAGES + 1):
            if 1 in wire.connection.streams:
                wire.tell(body(1, bytes(limits.SMALL_MESSAGE), end=False))
        assert not wire.connection.streams

    played(play)


def test_a_connection_has_few_calls_without_an_end_and_makes_way_with_them():
    """Who watches is owed nothing."""

    async def play(wire):
        wire.tell(b"".join(asks(2 * each + 1, WATCH) + body(2 * each + 1, b"", end=False) for each in range(20)))
        await asyncio.sleep(0.01)
        assert len(wire.connection.streams) == limits.STREAMING_OF_ONE
        assert wire.connection.idle
        wire.tell(asks(101, PATH) + body(101, b"you"))
        assert not wire.connection.idle

    played(play)


@pytest.mark.parametrize("window", [0, frames.WINDOW])
def test_messages_that_are_never_whole_are_refused_when_they_are_too_many(window, monkeypatch):
    """Also where the word of it has to wait for a window: nothing is held meanwhile, and nothing hangs."""
    monkeypatch.setattr(bounds, "LARGE_BODIES", 100_000)

    async def play(wire):
        for number in range(1, 21, 2):
            wire.tell(
                asks(number, PATH) + frame(frames.DATA, 0, number, b"\0" + (1 << 20).to_bytes(4, "big") + bytes(16_000))
            )
        assert wire.connection._buffered <= 100_000

    played(play, window)


def test_a_whole_message_in_small_frames_is_no_fault():
    """Though the end of its stream comes apart."""

    async def play(wire):
        told = b"\0" + (3 << 20).to_bytes(4, "big") + bytes(3 << 20)
        wire.tell(asks(1, PATH) + frames.grant(0, 1 << 24) + frames.grant(1, 1 << 24))
        for at in range(0, len(told), 1024):
            wire.tell(frame(frames.DATA, 0, 1, told[at : at + 1024]))
        wire.tell(frame(frames.DATA, frames.END_STREAM, 1))
        await asyncio.sleep(0.05)
        assert sum(len(each.payload) for each in wire.heard if each.kind == frames.DATA) == len(told)

    played(play)


STREAMS = st.sampled_from([1, 3, 5, 7])
SAID = st.one_of(
    st.builds(asks, STREAMS, st.sampled_from(PATHS), st.booleans()),
    st.builds(body, STREAMS, st.binary(max_size=40), st.booleans()),
    st.builds(lambda number, data: frame(frames.DATA, 0, number, data), STREAMS, st.binary(max_size=9)),
    st.builds(frames.grant, st.sampled_from([0, 1, 3, 5]), st.integers(1, 9)),
    st.builds(frames.reset, STREAMS, st.just(8)),
    st.builds(lambda size: frames.settings([(frames.INITIAL_WINDOW, size)]), st.integers(0, 30)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(SAID, max_size=30), st.sampled_from([0, 1, 7, frames.WINDOW]))
def test_whatever_is_asked_in_whatever_order_nothing_breaks_or_stays(said, window):
    """Calls, half calls, resets and windows of any size."""

    async def play(wire):
        for each in said:
            wire.tell(each)
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    played(play, window)
