"""A message is the same in whatever parts it comes, and so is what is said of one that is none."""

import asyncio
from contextvars import copy_context

import pytest

from service.grpc import verdict
from service.grpc.call import Call, Once
from service.grpc.heads import Head

LARGEST = 12


def message(data, packed=0):
    return bytes([packed]) + len(data).to_bytes(4, "big") + data


class Stream:
    """Keeps what is answered."""

    def __init__(self):
        self.parts, self.said = 0, []

    def send(self, head=b"", body=b"", trailers=b""):
        self.said.append((head, body, trailers))

    def hold(self, size, whole=0):
        """Nothing is counted here."""

    let_come = hold

    def answered(self):
        """Nor this."""


def told(*parts):
    """What is answered to a body in these parts, the last of which ends it."""

    async def echo(data, _):
        return data

    async def play():
        stream = Stream()
        once = Once(stream, Call(Head([])), copy_context(), echo, LARGEST)
        for at, part in enumerate(parts, 1):
            once.take(part, at == len(parts))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return stream.said

    return asyncio.run(play())


def sentence(said):
    """Of an answer that is an error."""
    ((head, body, trailers),) = said
    assert not head + body
    return trailers


@pytest.mark.parametrize("data", [b"", b"you", b"ab" + message(b""), message(b"you"), b"x" * LARGEST])
def test_a_message_in_parts_is_the_message(data):
    """Cut anywhere, also where what is behind the cut would be a message by itself."""
    whole = message(data)
    expected = [(verdict.HEAD, whole, verdict.DONE)]
    assert told(whole) == told(whole, b"") == expected
    assert all(told(whole[:at], whole[at:]) == expected for at in range(len(whole)))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", b"There is no message"),
        (message(b"you")[:3], b"The message is cut short"),
        (message(b"you")[:-1], b"The message is cut short"),
        (message(b"you") + b"\0", b"The message is cut short"),
        (message(b"you") + message(b""), b"There is more than one message"),
        (message(b"you", packed=1), b"Send messages as they are"),
        (message(b"x" * (LARGEST + 1)), f"larger than {LARGEST} bytes".encode()),
    ],
)
def test_what_is_no_message_is_told_so(body, why):
    """In one part as in two."""
    once = sentence(told(body))
    assert why in once
    assert all(sentence(told(body[:at], body[at:])) == once for at in range(len(body)))
