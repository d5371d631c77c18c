"""The gRPC door's HTTP/2, frame by frame: what a client may say in any way, and what ends its connection."""

import asyncio
import socket

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import example, given
from hypothesis import strategies as st

from service.edge import bounds, refusals
from service.rpc import frames, limits
from service.rpc.frames import Code, frame
from service.rpc.heads import Heads
from tests.fake_recommender import FakeRecommender, RpcServer
from tests.http2 import ASKED, HELLO, Wire, body, head, parsed, scene

CALL = head(1) + body(1, b"you")
TOLD = b"\0\0\0\0\3you"


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


MUCH = b"\0" * frames.LARGEST_FRAME
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


@pytest.mark.parametrize("window", [0, 1, 3, 70_000])
def test_an_answer_goes_out_as_far_as_its_client_takes_it(window):
    """And the rest when there is a window for it, by settings or for one stream; the end comes last."""

    def play(wire):
        wire.tell(frames.PREFACE + frames.settings([(frames.INITIAL_WINDOW, window)]) + CALL)
        heard = wire.heard
        out = b"".join(each.payload for each in heard if each.kind == frames.DATA)
        assert out == TOLD[:window]
        ended = any(each.flags & frames.END_STREAM for each in heard if each.kind == frames.HEADERS)
        assert ended == (window >= len(TOLD))
        if not ended:
            wire.tell(frames.grant(1, 2)).tell(frames.settings([(frames.INITIAL_WINDOW, 100)]))
            heard = wire.heard
            assert out + b"".join(each.payload for each in heard if each.kind == frames.DATA) == TOLD
            assert heard[-1].flags & frames.END_STREAM
        assert not wire.connection.streams

    scene(play)


def test_who_does_not_read_gets_no_more_and_is_cut_off(monkeypatch):
    """What the kernel does not take waits here; after a while the connection ends."""

    def play(wire):
        wire.tell(HELLO)
        wire.connection.pause_writing()
        wire.tell(CALL)
        assert [each.kind for each in wire.heard] == [frames.HEADERS]
        wire.connection.look(1.0)
        assert wire.connection.unread == len(TOLD)
        wire.connection.resume_writing()
        assert [each.kind for each in wire.heard] == [frames.DATA, frames.HEADERS]
        wire.held_back = 5
        assert not wire.connection.look(2.0)
        assert wire.connection.look(2.1 + bounds.READ_SECONDS)
        assert wire.closed

    scene(play)


def sent(wire, calls, size):
    """Send messages of so many bytes side by side, a frame of each in turn, as far as the windows go; what was let."""
    windows, most = dict.fromkeys([0, *calls], frames.WINDOW), dict.fromkeys([0, *calls], frames.WINDOW)
    left = dict.fromkeys(calls, bytes(size))
    while left:
        for number in list(left):
            part = left[number][: min(frames.LARGEST_FRAME, windows[0], windows[number])]
            assert part, f"stream {number} waits for a window, {len(left[number])} bytes before its end"
            left[number] = left[number][len(part) :]
            wire.tell(frame(frames.DATA, 0 if left[number] else frames.END_STREAM, number, part))
            windows[0], windows[number] = windows[0] - len(part), windows[number] - len(part)
            if not left[number]:
                del left[number]
            for each in wire.heard:
                if each.kind == frames.WINDOW_UPDATE and each.stream in windows:
                    windows[each.stream] += int.from_bytes(each.payload, "big")
                    most[each.stream] = max(most[each.stream], windows[each.stream])
    return most, windows


@pytest.mark.parametrize(("count", "size"), [(1, 1 << 20), (1, 70_000), (9, 20_000), (40, 60_000), (3, 200_000)])
def test_what_will_be_whole_may_come_and_no_more_than_that(count, size):
    """However many at once, and though their connection's window is 64 KiB: nothing waits for a window for ever."""

    def play(wire):
        calls = range(1, 2 * count, 2)
        wire.tell(HELLO + b"".join(head(each) for each in calls))
        most, windows = sent(wire, calls, size)
        assert [len(call.got) for call in wire.calls] == [size] * count
        assert most[0] <= frames.WINDOW + count * size
        assert frames.WINDOW - limits.GRANT < windows[0] <= frames.WINDOW

    scene(play, size=size)


def test_what_is_never_whole_is_not_let_come_for_ever():
    """Streams that stall use up their connection's window; the oldest that hold too much, of all, are refused."""

    def play(wire):
        wire.tell(HELLO)
        for number in (1, 3, 5):
            wire.tell(head(number) + frame(frames.DATA, 0, number, MUCH))
        assert not [each for each in wire.heard if each.stream == 0]
        wire.connection.refuse(refusals.LARGE_BODIES)
        assert [call.refused for call in wire.calls] == ["large_bodies"] * 3
        wire.tell(head(7) + frame(frames.DATA, 0, 7, b"x"))
        [widened] = [each for each in wire.heard if each.kind == frames.WINDOW_UPDATE]
        assert int.from_bytes(widened.payload, "big") == 3 * len(MUCH)

    scene(play, at_once=False)


def test_a_body_that_is_late_is_refused_and_a_silent_connection_closed():
    """In time; and one with nothing to do is told to go."""

    def play(wire):
        now = wire.connection.now()
        assert not wire.connection.look(now + bounds.HANDSHAKE_SECONDS - 1)
        wire.tell(HELLO + head(1))
        assert wire.connection.look(now + bounds.BODY_SECONDS + 1)
        assert [call.refused for call in wire.calls] == ["late_body"]
        wire.connection.look(now + 2 * limits.IDLE_SECONDS)
        last = wire.heard[-1]
        assert (last.kind, last.payload[:4]) == (frames.GOAWAY, b"\x7f\xff\xff\xff")

    scene(play)

    def silent(wire):
        assert wire.connection.look(wire.connection.now() + bounds.HANDSHAKE_SECONDS + 1)
        assert wire.closed

    scene(silent)


def test_more_calls_at_once_than_may_be_are_sent_elsewhere():
    """By the word that says that nothing of them was done."""

    def play(wire):
        wire.tell(HELLO + b"".join(head(2 * each + 1) for each in range(limits.STREAMS + 1)))
        assert wire.heard == [(frames.RST_STREAM, 0, 2 * limits.STREAMS + 1, Code.REFUSED_STREAM.to_bytes(4, "big"))]
        assert len(wire.calls) == limits.STREAMS

    scene(play)


def test_a_connection_that_leaves_answers_what_came_before_its_last_word(monkeypatch):
    """A first GOAWAY that refuses nothing, a second that names the last; what comes behind it is not begun."""
    monkeypatch.setattr(limits, "GOODBYE_SECONDS", 0.01)

    async def run():
        wire = Wire(at_once=False)
        wire.tell(HELLO + head(1) + body(1, b"you"))
        wire.connection.begin_to_leave()
        wire.tell(head(3) + body(3, b"you"))
        await asyncio.sleep(0.05)
        wire.tell(head(5) + body(5, b"you"))
        first, second = [each.payload[:4] for each in wire.heard if each.kind == frames.GOAWAY]
        assert (first, second) == (b"\x7f\xff\xff\xff", b"\0\0\0\3")
        assert len(wire.calls) == 2
        assert not wire.eof
        for call in wire.calls:
            call.answer()
        assert [each.stream for each in wire.heard if each.flags & frames.END_STREAM] == [1, 3]
        assert wire.eof
        wire.tell(frame(frames.PING, 0, 0, bytes(8)))  # a word behind the end would break what was said before it
        assert not wire.heard

    asyncio.run(run())


def test_who_speaks_http_1_is_told_where():
    """In its own words."""
    with RpcServer(FakeRecommender()) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nhost: here\r\n\r\n")
        said = b""
        while part := client.recv(1 << 16):
            said += part
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"speaks gRPC" in said


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({b":method": b"GET"}, b"415"),
        ({b"content-type": b"text/html"}, b"415"),
        ({b"grpc-timeout": b"soon"}, b"200"),
        ({b"x-much": b"x" * limits.HEADERS}, b"200"),
    ],
)
def test_a_head_that_is_none_of_grpc_is_refused_alone(change, status):
    """And its connection goes on."""
    with RpcServer(FakeRecommender()) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        headers = list((dict(ASKED) | change).items())
        client.sendall(HELLO + head(1, headers=headers) + head(3) + body(3, b""))
        client.settimeout(10)
        said = b""
        while said.count(b"grpc-status") < (1 if status == b"415" else 2):
            said += client.recv(1 << 16)
    ends = [each for each in parsed(said) if each.flags & frames.END_STREAM and each.kind == frames.HEADERS]
    assert [each.stream for each in ends] == [1, 3]
    assert Decoder().decode(ends[0].payload, raw=True)[0] == (b":status", status)


def test_a_client_whose_table_shrinks_is_told_so_once():
    """In the first header block after its settings, as RFC 7541 wants it."""

    def play(wire):
        wire.tell(frames.PREFACE + frames.settings([(frames.TABLE_SIZE, 0)]) + CALL)
        first, _, last = wire.heard
        assert first.payload[0] == 0x20
        assert last.payload[0] != 0x20

    scene(play)


def test_who_reads_all_the_time_is_not_cut_off_for_what_is_new():
    """Some answer waits whenever it is looked at, and each is another."""

    def play(wire):
        wire.tell(HELLO)
        wire.held_back = 5
        for seconds in range(0, 3 * int(bounds.READ_SECONDS), 2):
            number = seconds + 1
            wire.tell(head(number) + body(number, b"you"))
            assert not wire.connection.look(float(seconds))

    scene(play)


def test_trailers_of_what_was_refused_meanwhile_are_nobodys():
    """They were on their way."""

    def play(wire):
        wire.tell(HELLO + head(1) + frame(frames.DATA, 0, 1, b"much"))
        wire.calls[0].refuse(refusals.LARGE_BODIES)
        wire.tell(frame(frames.DATA, 0, 1, b"more") + head(1, end=True, headers=[(b"x", b"y")]))
        assert not wire.closed

    scene(play, at_once=False)


def test_a_flood_of_heads_leaves_others_their_turn():
    """So many are read, and the rest when the loop has been round."""

    async def run():
        wire = Wire(at_once=False)
        wire.connection.data_received(HELLO + b"".join(head(2 * each + 1) for each in range(200)))
        assert len(wire.calls) == limits.HEADS_A_TURN
        wire.connection.data_received(head(401))  # uvloop reads once more behind a pause
        while wire.connection._paused:
            await asyncio.sleep(0.001)
        assert len(wire.calls) == 201

    asyncio.run(run())
