"""How an HTTP/2 connection of the gRPC door answers: windows, turns, what waits, and how it ends."""

import asyncio
import socket

import pytest
from hpack import Decoder

from service.edge import bounds, refusals
from service.grpc import frames, limits
from service.grpc.frames import Code, frame
from tests.fake_recommender import FakeRecommender, RpcServer
from tests.http2 import ASKED, CALL, HELLO, MUCH, TOLD, Wire, body, head, parsed, scene


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
        assert not wire.connection.look(now + bounds.BODY_SECONDS - 1)
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


def test_of_a_new_connection_little_is_read_at_once():
    """Until it has said something."""

    def play(wire):
        assert len(wire.connection.get_buffer(-1)) == bounds.FIRST_READ
        wire.tell(HELLO)
        assert len(wire.connection.get_buffer(-1)) == limits.READ

    scene(play)


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
        wire.connection.take(HELLO + b"".join(head(2 * each + 1) for each in range(200)))
        assert len(wire.calls) == limits.HEADS_A_TURN
        wire.connection.take(head(401))  # uvloop reads once more behind a pause
        while wire.connection._paused:
            await asyncio.sleep(0.001)
        assert len(wire.calls) == 201

    asyncio.run(run())
