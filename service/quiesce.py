"""No more comes in, and nothing that did is lost: what a server needs in the moment before it closes.

Closing a listening socket resets whoever connected and was not accepted yet. So first the kernel lets no connection
begin, by a socket filter (SO_ATTACH_FILTER; Linux, see Documentation/networking/filter.rst): who knocks knocks again,
and by then is told that nobody is there. Where a kernel gives it to nobody without rights, the door is shut at once.

A gRPC server that stops cancels calls that reach it just then (of 32 callers that never paused 20 a stop saw CANCELLED,
in eight stops). So what comes on its connections waits in the kernel meanwhile (SO_RCVLOWAT, socket(7); no right
needed), and none is lost: docs/reliability.md.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

SETTLE_SECONDS = 0.2
"""From the last new connection that the kernel takes to the close: workers accept in milliseconds what is there, and a
handshake that had begun ends within a round trip."""

_UNTOLD_BYTES = 1 << 20
"""That may wait in the kernel before the reader is told of them: more than almost all clients send in the moments of a
stop. Of each connection it keeps at most twice as much meanwhile."""

_ATTACH = 26
_NO_SYN = (
    (0x30, 0, 0, 13),  # the flags; a filter of TCP sees the segment from its own header on
    (0x45, 0, 1, 2),  # SYN?
    (6, 0, 0, 0),  # drop
    (6, 0, 0, 0xFFFFFFFF),  # keep
)


def refuse_connections(listener: socket.socket) -> bool:
    """Let no connection begin at a listening socket, whoever else holds it; False where that can't be had."""
    code = b"".join(struct.pack("HBBI", *each) for each in _NO_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HL", len(_NO_SYN), ctypes.addressof(buffer)))
    except OSError:
        return False
    return True


def shut(listener: socket.socket) -> None:
    """Listen no more, for all who have it: what is closed here alone is open elsewhere."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def hold_data(connection: socket.socket) -> None:
    """Tell whoever polls it of nothing that is sent from now on; what we send goes out still."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _UNTOLD_BYTES)


def take_data(connection: socket.socket) -> None:
    """Tell of it again, and of what has come meanwhile."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def kept(one: socket.socket) -> socket.socket:
    """A copy that holds it open; `socket.dup` would make it block, for whoever else has it, too."""
    return socket.socket(fileno=os.dup(one.fileno()))


def listeners(port: int) -> Iterator[socket.socket]:
    """The sockets of this process that listen at a port, whoever opened them; each is closed when the next is asked."""
    return _own(port, 1)


def connections(port: int) -> Iterator[socket.socket]:
    """Those that it accepted there; as above."""
    return _own(port, 0)


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
