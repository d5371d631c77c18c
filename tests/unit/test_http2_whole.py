"""A call that came whole is taken in one go, and as frame by frame."""

import asyncio

import pytest
from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import given, settings
from hypothesis import strategies as st

from service.grpc import frames, limits
from service.grpc.connection import Connection
from service.grpc.frames import Code, frame
from tests.http2 import ASKED, HELLO, MUCH, Wire, body, parsed, scene

ENCODER = Encoder()
FIRST, AGAIN = ENCODER.encode(ASKED), ENCODER.encode(ASKED)
"""A head, and the same from the second call on."""

MALFORMED = Encoder().encode([NeverIndexedHeaderTuple(*each) for each in [*ASKED, (b"X", b"1")]])


def begun(stream, block=AGAIN, flags=frames.END_HEADERS):
    return frame(frames.HEADERS, flags, stream, block)


def call(stream, data=b"you", block=AGAIN):
    return begun(stream, block) + body(stream, data)


def counted(monkeypatch):
    """How many packets were taken in one go."""
    taken, way = [], Connection._is_call
    monkeypatch.setattr(
        Connection, "_is_call", lambda self, data: (taken.append(1) or True) if way(self, data) else False
    )
    return taken


def test_a_head_that_is_known_is_taken_with_its_message(monkeypatch):
    """From the second time on that it came as it is."""
    taken = counted(monkeypatch)

    def play(wire):
        wire.tell(HELLO).tell(call(1, block=FIRST)).tell(call(3))
        assert not any(taken)
        for at in range(5, 11, 2):
            wire.tell(call(at, b"%d" % at))
        assert len(taken) == 3
        assert [each.payload[5:] for each in wire.heard if each.kind == frames.DATA] == [
            b"you",
            b"you",
            b"5",
            b"7",
            b"9",
        ]
        assert not wire.connection.streams
        assert not any(each.stream.asked for each in wire.calls)  # they hold each other no more

    scene(play)


PADDED = b"\x02\0\0\0\0\0ab"
ENDED = frames.END_HEADERS | frames.END_STREAM
WAYS = [
    *[call] * 6,  # most of what comes is as it should be
    lambda one, data: call(one, data, FIRST),
    lambda one, data: call(one, data, b"\xff"),
    *[lambda one, data: call(one, data, MALFORMED)] * 2,
    lambda one, _: begun(one),
    lambda one, _: begun(one, flags=ENDED),
    lambda one, _: begun(one, flags=0),
    lambda one, data: begun(one) + body(one, data, end=False),
    lambda one, data: begun(one) + body(one + 2, data),
    lambda one, _: begun(one) + frame(frames.DATA, frames.END_STREAM | frames.PADDED, one, PADDED),
    lambda one, data: call(one, data) + call(one + 2, data),
    lambda one, data: call(one, data)[: 1 + len(data)],
    lambda one, data: body(max(one - 2, 0), data),
    lambda one, _: frames.reset(max(one - 2, 1), Code.CANCEL),
    lambda *_: frames.settings([(frames.INITIAL_WINDOW, 40), (frames.TABLE_SIZE, 0)]),
    lambda *_: frame(frames.PING, 0, 0, b"12345678"),
]
"""What is sent for a stream and a message."""

packets = st.tuples(
    st.sampled_from(WAYS),
    st.sampled_from([b"", b"a", b"you" * 30, MUCH[:9000]]),
    st.sampled_from([0] * 9 + [-4, -2, -1, 1, 1 << 31]),  # how far a stream is from where it should be
)


def taken(monkeypatch, way, parts, at_once=True, size=0):
    """What is said and left of a connection that comes to `_is_call` in this way, and has seen the head twice."""
    left = []

    def play(wire):
        wire.tell(HELLO).tell(call(1, block=FIRST)).tell(call(3))
        for part in parts:
            wire.tell(part)
        connection = wire.connection
        kept = {number: (each.window_in, each.window_out, each.ended) for number, each in connection.streams.items()}
        windows = connection.window_in, connection.window_out, connection.last, connection.controls
        calls = [(each.got, each.whole, each.gone) for each in wire.calls]
        half = connection.half_since is None
        left.append((wire.said, wire.closed, wire.eof, kept, windows, calls, connection._buffer, half))

    monkeypatch.setattr(Connection, "_is_call", way)
    scene(play, at_once, size)
    return left[0]


WHOLE = Connection._is_call


@settings(max_examples=400, deadline=None)
@given(st.lists(packets, min_size=2, max_size=14), st.booleans(), st.sampled_from([0, 0, 9005]), st.integers(1, 9))
def test_whatever_comes_is_taken_as_frame_by_frame(sent, at_once, size, most):
    """The same is said, the same streams and windows are left, whatever a packet holds.

    (Where a call is refused at its head that is told without a reset, for its message is here.)
    """
    parts = [say(abs(5 + 4 * at + off), data) for at, (say, data, off) in enumerate(sent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "STREAMS", most)
        assert taken(patch, WHOLE, parts, at_once, size) == taken(patch, lambda *_: False, parts, at_once, size)


LARGE = b"\1" + begun(7)[1:]
"""A head whose length says 65,536 bytes more than there are."""

HALVES = [begun(5), frame(frames.DATA, 0, 5, MUCH) * 2, begun(7), frame(frames.DATA, 0, 7, MUCH)]
"""Bodies that leave a connection a window of 16,383 bytes."""


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([begun(7) + frame(frames.DATA, frames.END_STREAM, 7, MUCH + b"\0")], Code.FRAME_SIZE_ERROR),
        ([LARGE + body(7, b"you")], Code.FRAME_SIZE_ERROR),
        ([*HALVES, begun(9) + frame(frames.DATA, frames.END_STREAM, 9, MUCH)], Code.FLOW_CONTROL_ERROR),
    ],
)
def test_what_is_too_large_is_no_call(parts, code, monkeypatch):
    """However it is taken."""
    told = taken(monkeypatch, WHOLE, parts)
    assert told == taken(monkeypatch, lambda *_: False, parts)
    last = list(parsed(told[0]))[-1]
    assert (last.kind, last.payload[4:8]) == (frames.GOAWAY, code.to_bytes(4, "big"))


@pytest.mark.parametrize("size", range(3))
def test_a_window_is_widened_when_it_would_be_frame_by_frame(size, monkeypatch):
    """At the very byte: the first two calls took eight each, and a message has five before it."""
    parts = [call(5, MUCH[: limits.GRANT - 2 * 8 - 2 * 5 - 1]), call(7, MUCH[:size])]
    told = taken(monkeypatch, WHOLE, parts)
    assert told == taken(monkeypatch, lambda *_: False, parts)
    assert any(each.kind == frames.WINDOW_UPDATE for each in parsed(told[0])) == (size > 0)


def test_a_call_behind_the_last_word_is_not_begun(monkeypatch):
    """Though it came whole, with a head that is known."""
    monkeypatch.setattr(limits, "GOODBYE_SECONDS", 0.01)

    async def run():
        wire = Wire(at_once=False)
        wire.tell(HELLO).tell(call(1, block=FIRST)).tell(call(3))
        wire.connection.begin_to_leave()
        wire.tell(call(5))
        assert len(wire.calls) == 3
        await asyncio.sleep(0.05)
        wire.tell(call(7))
        assert len(wire.calls) == 3

    asyncio.run(run())
