"""How the gRPC port closes: nothing new comes in, all that came is answered, and clients read that it was the last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc

from service import quiesce

GRACE_SECONDS = 5.0
"""What calls under way have to end in when the door closes."""

QUIET_SECONDS = 0.05
"""For which no call has been under way, when the door closes: what was read and is no call yet becomes one sooner."""

GOODBYE_SECONDS = 0.3
"""From the first GOAWAY, after which a client begins nothing new on its connection, to the one that names the last
call: in one stroke with the close, a client that was just sending met a broken pipe."""

HELD_SECONDS = 1.5
"""How long what comes in is held back for that, at most: an answer of more than 64 KiB waits for its reader's word."""


async def close(server: grpc.aio.Server, port: int, busy: Callable[[], bool]) -> None:
    """Take no more and let end what came: all that the port has. busy: whether a call is under way.

    Calls that are on their way when it closes are refused with a GOAWAY that names the last one taken, so that gRPC
    sends them elsewhere by itself.
    """
    for listener in quiesce.listeners(port):
        quiesce.refuse_connections(listener)
    await asyncio.sleep(quiesce.SETTLE_SECONDS)
    held = [quiesce.kept(connection) for connection in quiesce.connections(port)]
    for each in held:
        quiesce.hold_data(each)
    if await _falls_quiet(busy):
        await server.stop(GOODBYE_SECONDS)
        # Closed for good, what is held back would be met with a reset, before which the GOAWAY may be unread.
        await asyncio.sleep(quiesce.SETTLE_SECONDS)
    else:
        for each in held:
            quiesce.take_data(each)
        await server.stop(GRACE_SECONDS)
    for each in held:
        each.close()


async def _falls_quiet(busy: Callable[[], bool]) -> bool:
    """Whether, in HELD_SECONDS, there is a while in which no call is under way."""
    end, quiet_since = time.monotonic() + HELD_SECONDS, time.monotonic()
    while (now := time.monotonic()) < end:
        if busy():
            quiet_since = now
        if now - quiet_since > QUIET_SECONDS:
            return True
        await asyncio.sleep(QUIET_SECONDS / 5)
    return False
