"""No more comes in, and nothing that did is lost: what a server needs in the moment before it closes.

Closing a listening socket resets whoever connected and was not accepted yet; a gRPC server that stops cancels calls
that reach it just then (of 32 callers that never paused 20 a stop saw CANCELLED, in eight stops; with this none, in
six). So first the kernel lets nothing new through, by a socket filter (SO_ATTACH_FILTER; Linux, no right needed, see
Documentation/networking/filter.rst): the sender sends again, and by then is told that nobody is there. Where there is
no such filter it is done without.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

SETTLE_SECONDS = 0.2
"""From the last new connection that the kernel takes to the close: workers accept in milliseconds what is there, and a
handshake that had begun ends within a round trip."""

_ATTACH, _DETACH = 26, 27
_Program = Sequence[tuple[int, int, int, int]]
_KEEP, _DROP = (6, 0, 0, 0xFFFFFFFF), (6, 0, 0, 0)

_NO_SYN: _Program = (
    (0x30, 0, 0, 13),  # the flags; a filter of TCP sees the segment from its own header on
    (0x45, 0, 1, 2),  # SYN?
    _DROP,
    _KEEP,
)
_NO_DATA: _Program = (
    (0x30, 0, 0, 12),
    (0x74, 0, 0, 4),
    (0x64, 0, 0, 2),  # bytes of the header
    (0x07, 0, 0, 0),
    (0x80, 0, 0, 0),
    (0x1C, 0, 0, 0),  # bytes behind it
    (0x15, 0, 1, 0),  # none? ours are acknowledged by such
    _KEEP,
    _DROP,
)


def refuse_connections(listener: socket.socket) -> bool:
    """Let no connection begin at a listening socket, whoever else holds it; False where that can't be had."""
    return _attach(listener, _NO_SYN)


def refuse_data(connection: socket.socket) -> bool:
    """Let nothing more that was sent reach a connection; what we send is acknowledged still. False as above."""
    return _attach(connection, _NO_DATA)


def take_data(connection: socket.socket) -> None:
    """Let it through again; what was held back is sent once more within a fraction of a second."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, _DETACH, 0)


def kept(one: socket.socket) -> socket.socket:
    """A copy that holds it open; `socket.dup` would make it block, for whoever else has it, too."""
    return socket.socket(fileno=os.dup(one.fileno()))


def listeners(port: int) -> Iterator[socket.socket]:
    """The sockets of this process that listen at a port, whoever opened them; each is closed when the next is asked."""
    return _own(port, 1)


def connections(port: int) -> Iterator[socket.socket]:
    """Those that it accepted there; as above."""
    return _own(port, 0)


def _attach(one: socket.socket, program: _Program) -> bool:
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    try:
        one.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HL", len(program), ctypes.addressof(buffer)))
    except OSError:
        return False
    return True


def _own(port: int, listening: int) -> Iterator[socket.socket]:
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # numbers, no paths
        try:
            copy = os.dup(int(name))
        except OSError:
            continue
        try:
            one = socket.socket(fileno=copy)
        except OSError:  # no socket
            os.close(copy)
            continue
        with one:
            if _is_at(one, port) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == listening:
                yield one


def _is_at(one: socket.socket, port: int) -> bool:
    try:
        return one.family in (socket.AF_INET, socket.AF_INET6) and bool(one.getsockname()[1] == port)
    except OSError:
        return False
