"""What a stranger may take of the gRPC door: connections, streams, metadata, frames, and time.

Seconds and bytes that hold at both doors are in `service.edge.bounds`; docs/security.md explains all of them.
"""

from __future__ import annotations

import socket

from service.edge import bounds
from service.grpc import frames

CONNECTIONS = 1000
"""Of a process."""

STREAMS = 256
"""Calls of a connection at once."""

HEADERS = 8 << 10
EACH_HEADER = 32
"""Bytes of a call's metadata, as HTTP/2 counts them: so many more for each."""

WORST_HEADERS = 64 << 10
WORST_BLOCK = 16 << 10
"""Unpacked and packed, beyond which the connection ends: up to there the call alone does."""

TABLE_CHANGES = 2
"""Of the table's size at the start of a block: the least since the last one, and the one from now on."""

HEADS_A_TURN = 4
CONNECTIONS_A_TURN = 2
NEWCOMERS_A_TURN = 4
"""Heads of one connection before others have their turn; connections of which more are read in one, and new ones. Two
thousand heads that came together held the loop for three seconds. One that is refused costs a tenth of a millisecond,
so half of each turn is left to those that are not."""

KNOWN_HEADS, KNOWN_BLOCK = 16, 64
"""Heads that a connection keeps, for they come again; of so many bytes in their block and so many headers at most."""

CONTROLS = 200
CONTROLS_A_CALL = 8
CONTROLS_A_FRAME = 2
"""Frames that ask for nothing (pings, windows, settings) between two looks; more for each call that is answered, and
for each frame of a long answer."""

FUTILE = 1000
FUTILE_REFUSAL, FUTILE_OF_STRANGER = 90, 400
FUTILE_A_LOOK = 100
"""Calls of a connection that come to nothing, since the last that was answered, before it ends. One that is let go
counts for one, as of clients whose deadlines pass; one without a key or a method for ninety, or for four hundred where
none was answered yet, so that a stranger has one turn. So many are forgotten at each look."""

PARTS = bounds.PARTS
"""Frames of one message's body, and one more for each KiB."""

SMALL_MESSAGE = 4 << 10
MESSAGES = 4
STREAMING, STREAMING_OF_ONE = 256, 8
"""Health and reflection, which strangers ask too: bytes of a message, how many of a stream wait for their turn, and how
many streams go on without an end, of a process and of a connection."""

UNSENT = 1 << 20
"""Bytes of a stream of answers that its client has not taken."""

READ = 16 << 10
"""Bytes of a connection that are read at once, behind bounds.FIRST_READ of a new one: what waits for its turn waits in
the kernel."""

GRANT = 16 << 10
"""Bytes that a connection's window lacks before it is widened."""

LARGEST_SENT = 1 << 17
"""Bytes of a frame that is sent, where its client takes them."""

IDLE_SECONDS = 60.0
AGE_SECONDS = 3600.0
"""A connection with nothing to do is closed after a minute, and any after an hour; the next call opens another."""

GOODBYE_SECONDS = 0.3
"""From the first GOAWAY, after which a client begins nothing new on its connection, to the one that names the last
call: in one stroke, what was on its way would be cut."""

GRACE_SECONDS = 5.0
"""What calls under way have to end in when the door closes."""

SOCKET = [
    (socket.SOL_SOCKET, socket.SO_RCVBUF, bounds.HEAD_BUFFER),
    (socket.SOL_SOCKET, socket.SO_SNDBUF, bounds.SEND_BUFFER),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),  # a client that is gone without a word is found, and closed
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, int(bounds.READ_SECONDS)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1),
]
"""Of each connection."""
if hasattr(socket, "TCP_KEEPIDLE"):
    SOCKET.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30))

GREETING = frames.settings([(frames.MAX_STREAMS, STREAMS), (frames.MAX_HEADERS, HEADERS)])

_TOLD = b"This port speaks gRPC, which is HTTP/2 from the first byte; HTTP/1.1 is answered on the other (PORT).\n"
_HEAD = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
NOT_HTTP_1 = _HEAD % len(_TOLD) + _TOLD
