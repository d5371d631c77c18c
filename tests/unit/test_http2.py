"""The gRPC door's HTTP/2, frame by frame: what a client may say in any way, and what ends its connection."""

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import example, given
from hypothesis import strategies as st

from service.grpc import frames, limits
from service.grpc.frames import Code, frame
from service.grpc.heads import Heads
from tests.http2 import ASKED, CALL, HELLO, MUCH, TOLD, body, head, scene


def answered(wire, stream=1, told=TOLD):
    """Whether a call was answered with these bytes, and nothing else said."""
    heard = [each for each in wire.heard if each.kind != frames.WINDOW_UPDATE]
    assert [(each.kind, each.stream) for each in heard if each.kind != frames.DATA] == [(frames.HEADERS, stream)] * 2
    assert b"".join(each.payload for each in heard if each.kind == frames.DATA) == told
    assert wire.headers(heard[0])[b":status"] == b"200"
    assert heard[-1].flags & frames.END_STREAM
    assert wire.headers(heard[-1]) == {b"grpc-status": b"0"}
    assert not wire.connection.streams
    return True


BLOCK = head(1)[frames.HEAD.size :]
ALLOWED = {
    "as it is": CALL,
    "in two frames of a head": frame(frames.HEADERS, 0, 1, BLOCK[:5])
    + frame(frames.CONTINUATION, frames.END_HEADERS, 1, BLOCK[5:])
    + body(1, b"you"),
    "padded": frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\4" + BLOCK + bytes(4))
    + frame(frames.DATA, frames.END_STREAM | frames.PADDED, 1, b"\7" + TOLD + bytes(7)),
    "with a priority": frame(frames.HEADERS, frames.END_HEADERS | frames.PRIORITISED, 1, bytes(5) + BLOCK)
    + frame(frames.PRIORITY, 0, 1, bytes(5))
    + body(1, b"you"),
    "with a frame that nobody knows": frame(77, 255, 1, b"what") + CALL,
    "with settings of nobody's": frames.settings([(99, 7), (1, 0)]) + CALL,
    "with an end of its own": head(1) + body(1, b"you", end=False) + frame(frames.DATA, frames.END_STREAM, 1),
    "with trailers": head(1) + body(1, b"you", end=False) + head(1, end=True, headers=[(b"x", b"y")]),
    "with small frames": head(1)
    + b"".join(frame(frames.DATA, 0, 1, TOLD[at : at + 1]) for at in range(len(TOLD)))
    + frame(frames.DATA, frames.END_STREAM, 1),
    "behind one that was let go": head(1) + frames.reset(1, Code.CANCEL) + head(3) + body(3, b"you"),
    "a client that leaves": frames.goaway(0) + CALL,
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_call_may_come_in_many_ways(name, size):
    """In one piece, or byte by byte."""

    def play(wire):
        told = HELLO + ALLOWED[name]
        for at in range(0, len(told), size):
            wire.tell(told[at : at + size])
        assert answered(wire, 3 if "let go" in name else 1)

    scene(play)


NAMES, VALUES = st.sampled_from([b"a", b"b", b"te", b":path"]), st.sampled_from([b"1", b"2", b"x" * 30])
SENT = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@given(st.lists(st.tuples(SENT, st.booleans(), st.sampled_from([None, None, 0, 80, 4096])), max_size=40))
@example([([(b"a", b"1")], True, None)] * 2 + [([(b"b", b"1")], True, None)] * 2)  # the same byte for both
def test_a_head_that_comes_again_is_read_as_the_library_would(sent):
    """Whatever was remembered or forgotten between: the same bytes say something else with another table."""
    encoder, decoder, heads = Encoder(), Decoder(), Heads()
    for headers, remembered, size in sent:
        if size is not None:
            encoder.header_table_size = size
        told = [each if remembered else NeverIndexedHeaderTuple(*each) for each in headers]
        block = encoder.encode(told)
        assert [tuple(each) for each in heads.read(block).headers] == [
            tuple(each) for each in decoder.decode(block, raw=True)
        ]


MALFORMED = {
    "a name in capitals": [*ASKED, (b"X-A", b"1")],
    "a name with a space": [*ASKED, (b"x a", b"1")],
    "no name": [*ASKED, (b"", b"1")],
    "a line break": [*ASKED, (b"x-a", b"1\r\nx-b: 2")],
    "a zero": [*ASKED, (b"x-a", b"\0")],
    "a connection of HTTP/1's": [*ASKED, (b"connection", b"close")],
    "chunks of HTTP/1's": [*ASKED, (b"transfer-encoding", b"chunked")],
    "te of another kind": [*ASKED[:-1], (b"te", b"gzip")],
    "two paths": [ASKED[0], *ASKED],
    "a path behind the rest": [*ASKED[1:], ASKED[0]],
    "a status": [(b":status", b"200"), *ASKED],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_head_that_none_may_be_ends_its_stream_alone(name):
    """The next call is answered, and one with the same head is refused again."""

    def play(wire):
        wire.tell(HELLO)
        for stream in (1, 3):
            wire.tell(head(stream, headers=MALFORMED[name]) + body(stream, b"you"))
            [said] = [each for each in wire.heard if each.kind == frames.RST_STREAM and each.stream == stream]
            assert said.payload == Code.PROTOCOL_ERROR.to_bytes(4, "big")
        wire.heard.clear()
        wire.tell(head(5) + body(5, b"you"))
        assert answered(wire, 5)

    scene(play)


@pytest.mark.parametrize("behind", [[(b"X", b"y")], ASKED])
def test_what_stands_behind_a_body_may_be_malformed_too(behind):
    """Then the call is not answered."""

    def play(wire):
        wire.tell(HELLO + head(1) + body(1, b"you", end=False) + head(1, end=True, headers=behind))
        assert [each.kind for each in wire.heard if each.stream == 1] == [frames.RST_STREAM]
        assert not wire.connection.streams

    scene(play)


BROKEN = {
    "settings do not come first": (frames.PREFACE + frame(frames.PING, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
    "a frame too large": (HELLO + frame(frames.DATA, 0, 1, MUCH + b"\0"), Code.FRAME_SIZE_ERROR),
    "half a setting": (HELLO + frame(frames.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
    "a ping of seven": (HELLO + frame(frames.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
    "half a window": (HELLO + frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
    "a ping of a stream": (HELLO + frame(frames.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
    "settings of a stream": (HELLO + frame(frames.SETTINGS, 0, 1), Code.PROTOCOL_ERROR),
    "a goodbye of a stream": (HELLO + frame(frames.GOAWAY, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
    "an acknowledgement of something": (HELLO + frame(frames.SETTINGS, 1, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
    "frames of no size": (HELLO + frames.settings([(frames.MAX_FRAME, 1)]), Code.PROTOCOL_ERROR),
    "a window before a head": (HELLO + frames.grant(1, 1), Code.PROTOCOL_ERROR),
    "a table that changes": (HELLO + frame(frames.HEADERS, 5, 1, b"\x20" * 3 + BLOCK), Code.ENHANCE_YOUR_CALM),
    "no window": (HELLO + frames.grant(0, 0), Code.PROTOCOL_ERROR),
    "a window too large": (HELLO + frames.grant(0, frames.LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
    "a stream's window too large": (HELLO + head(1) + frames.grant(1, (1 << 31) - 1), Code.FLOW_CONTROL_ERROR),
    "windows too large": (HELLO + frames.settings([(frames.INITIAL_WINDOW, 1 << 31)]), Code.FLOW_CONTROL_ERROR),
    "a stream of the server's": (HELLO + head(2), Code.PROTOCOL_ERROR),
    "a stream of nobody's": (HELLO + head(0), Code.PROTOCOL_ERROR),
    "a stream twice": (HELLO + CALL + head(1), Code.PROTOCOL_ERROR),
    "a stream of before": (HELLO + head(3) + head(1), Code.PROTOCOL_ERROR),
    "two heads": (HELLO + head(1) + head(1), Code.PROTOCOL_ERROR),
    "data of nothing": (HELLO + body(0, b"you"), Code.PROTOCOL_ERROR),
    "data before a head": (HELLO + body(1, b"you"), Code.PROTOCOL_ERROR),
    "a reset before a head": (HELLO + frames.reset(1, Code.CANCEL), Code.PROTOCOL_ERROR),
    "a promise": (HELLO + frame(frames.PUSH_PROMISE, 0, 1, bytes(4)), Code.PROTOCOL_ERROR),
    "a head that nobody began": (HELLO + frame(frames.CONTINUATION, 0, 1), Code.PROTOCOL_ERROR),
    "a head that another breaks": (HELLO + frame(frames.HEADERS, 0, 1) + head(3), Code.PROTOCOL_ERROR),
    "another's head": (HELLO + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 4, 3), Code.PROTOCOL_ERROR),
    "padding without a length": (HELLO + head(1) + frame(frames.DATA, frames.PADDED, 1), Code.FRAME_SIZE_ERROR),
    "more padding than there is": (HELLO + head(1) + frame(frames.DATA, 8, 1, b"\3\0\0"), Code.PROTOCOL_ERROR),
    "a priority cut short": (HELLO + frame(frames.HEADERS, 0x24, 1, bytes(4)), Code.PROTOCOL_ERROR),
    "no header block": (HELLO + frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 9), Code.COMPRESSION_ERROR),
    "more than was granted": (HELLO + head(1) + 5 * frame(frames.DATA, 0, 1, MUCH), Code.FLOW_CONTROL_ERROR),
    "more than all may": (
        HELLO + b"".join(head(each) + 2 * frame(frames.DATA, 0, each, MUCH) for each in (1, 3, 5)),
        Code.FLOW_CONTROL_ERROR,
    ),
    "more behind the end": (HELLO + head(1, end=True) + body(1, b"you"), Code.STREAM_CLOSED),
    "calls begun and let go": (
        HELLO + b"".join(head(each) + frames.reset(each, Code.CANCEL) for each in range(1, 2 * limits.FUTILE + 5, 2)),
        Code.ENHANCE_YOUR_CALM,
    ),
    "pings": (HELLO + frame(frames.PING, 0, 0, bytes(8)) * (limits.CONTROLS + 1), Code.ENHANCE_YOUR_CALM),
    "settings": (HELLO + frames.settings([]) * (limits.CONTROLS + 1), Code.ENHANCE_YOUR_CALM),
    "windows": (HELLO + frames.grant(0, 1) * (limits.CONTROLS + 1), Code.ENHANCE_YOUR_CALM),
    "a head without an end": (
        HELLO + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1) * (limits.CONTROLS + 1),
        Code.ENHANCE_YOUR_CALM,
    ),
    "a head of megabytes": (
        HELLO + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1, MUCH) * 5,
        Code.ENHANCE_YOUR_CALM,
    ),
    "a head that unpacks to megabytes": (
        HELLO + frame(frames.HEADERS, 4, 1, b"\x40\x01x\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 4000),
        Code.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_client_says_ends_its_connection(name):
    """With the code that the RFC has for it, and nothing of it stays."""

    def play(wire):
        told, code = BROKEN[name]
        wire.at_once = name != "more behind the end"
        wire.tell(told)
        last = wire.heard[-1]
        assert (last.kind, last.payload[4:8]) == (frames.GOAWAY, code.to_bytes(4, "big"))
        assert wire.eof
        assert wire.connection.lingers
        wire.connection.connection_lost(None)
        assert not wire.all
        assert not wire.connection.streams

    scene(play)


@given(st.lists(st.one_of(st.binary(max_size=64), st.sampled_from([told for told, _ in BROKEN.values()] + [CALL]))))
def test_whatever_comes_nothing_breaks_here(parts):
    """Its connection may end; nothing is raised, and nothing is kept of it."""

    def play(wire):
        wire.tell(HELLO)
        for part in parts:
            wire.tell(part.removeprefix(HELLO)[:4000])
        wire.connection.connection_lost(None)
        assert not wire.all
        assert not wire.connection.streams

    scene(play)
