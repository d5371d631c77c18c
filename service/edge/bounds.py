"""How much a stranger may take: seconds, bytes and connections. docs/security.md explains each.

A connection over HTTP that does nothing is closed within ten seconds whatever it waits for; with the time until it is
looked at, these stay below that. gRPC's own are in `service.grpc.limits`.
"""

from __future__ import annotations

import resource

from service.schema.verdict import MAX_BODY

HEAD_SECONDS = 8.0
"""In which a head has to be here, whole; from its first byte, from when the connection was opened, or from the last
answer."""

BODY_SECONDS = 8.0
"""In which a body has to be here, whole, from the end of its head."""

READ_SECONDS = 7.0
"""In which a client has to take what it was answered, from when the kernel takes no more of it."""

LINGER_SECONDS = 1.0
"""How long after a refusal it is waited for what still comes, to be thrown away, and again while it comes, until
BODY_SECONDS are over: a connection closed with bytes unread is reset, and the client may never see why."""

THROWN_AWAY = 8 << 20
"""Bytes of it that are read between two looks, of all connections of a process: two of the largest bodies. Who pours
is not read at a core's speed."""

IDLE_SECONDS = 1.0
"""How long a connection on which nothing is asked is kept when its server ends: what its client was just sending is
answered, with the word that it is the last. Who sends exactly when the time is over finds it closed, as ever."""

CUT_SECONDS = 5.0
"""After which a connection of a server that ends is cut all the same: whoever does not read its answer."""

LOOK_SECONDS = 0.5
"""How often all connections of a process are looked at: 0.2 ms for a thousand, and nothing on a request's way."""

ENDS = 8
ENDS_SECONDS = 0.004
"""How many are ended at a time, and until the next: five hundred late bodies at once held the loop for 97 ms."""

NEWCOMERS = 8
LARGE_READS = 4
TURN_SECONDS = 0.004
"""How many new connections are read in a turn, how many readings of large bodies there are, and when the next turn is:
two thousand new connections a second of a process, of five hundred at once the last after a quarter of one."""

FIRST_READ = 2 << 10
"""Bytes of a new connection that are read before it is parsed: more than most requests have. Of five hundred that
pour, all that the kernel takes ahead would be 32 MiB, read and kept before the first is told no; so it is 1 MiB."""

HEAD_BYTES = 16 << 10
HEADERS = 64
"""Of one request; uvicorn and its parser have no limit."""

AHEAD = 8
"""Requests sent ahead on one connection (pipelining) that wait for the answer before."""

PARTS = 2048
PART = 1 << 10
"""Chunks and trailers of a body: so many, and one more for each of so many bytes. Each costs a call of Python; a client
that sends JSON as it is encoded, word by word, makes some ten an event."""

GARBAGE = 512 << 10
"""Bytes on the wire beyond twice a body's own: extensions of chunks and trailers, and what was read with them."""

SMALL_BODY = 16 << 10
LARGE_BODIES = MAX_BODY + (1 << 20)
"""Bytes of unfinished bodies larger than a small one, all together, in a process. Beyond it the oldest has to go: one
that comes at a network's speed is here in milliseconds."""

CALLERS = 8
"""Calls of the largest kind on their way to a callee at once; its callers are gateways."""

UNREAD = 2 * MAX_BODY
"""Bytes of answers that clients have yet to take, all together, in a process; beyond it the oldest has to go."""

HEAD_BUFFER = 64 << 10
RECEIVE_BUFFER = 128 << 10
"""What the kernel takes ahead of us on a connection; Linux doubles it, and would let it grow to 6 MiB, which uvloop
reads in one go while all others wait. The first is for a connection until a body larger than a small one is on its way
and nobody has refused it: who has no key pours little before it is told so. Two segments of loopback fit."""

SEND_BUFFER = 128 << 10
"""What the kernel keeps of answers that a client does not read; Linux doubles it, and would let it grow to 4 MiB."""

HANDSHAKE_SECONDS = 8.0
"""Of TLS; asyncio and uvloop wait for 60, gRPC for 120."""

FILES = 65_536
FILES_FOR_OTHERS = 256
"""Open files of a process, at most asked for, and those that are no connections of a door."""


def raise_files() -> None:
    """Ask for as many open files as this process may have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections(asked: int) -> int:
    """So many as are asked for, or fewer where this process may not have so many files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if soft == resource.RLIM_INFINITY else max(1, min(asked, soft - FILES_FOR_OTHERS))
