"""No more comes in, and nothing that did is lost: what a server needs in the moment before it closes.

Closing a listening socket resets whoever connected and was not accepted yet. So first the kernel lets no connection
begin, by a socket filter (SO_ATTACH_FILTER; Linux, see Documentation/networking/filter.rst): who knocks knocks again,
and by then is told that nobody is there. Where a kernel gives it to nobody without rights, the door is shut at once.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

SETTLE_SECONDS = 0.2
"""From the last new connection that the kernel takes to the close: workers accept in milliseconds what is there, and a
handshake that had begun ends within a round trip."""

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
