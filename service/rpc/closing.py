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

HELD_SECONDS = 5.0
"""How long what comes in is held back for that, at most: what a call under way waits for may be among it, as the word
of who reads an answer larger than its window. Let through before all is answered, it would be cancelled."""


async def close(server: grpc.aio.Server, port: int, busy: Callable[[], bool]) -> None:
    """Take no more and let end what came: all that the port has. busy: whether a call is under way.

    Calls that are on their way when it closes are refused with a GOAWAY that names the last one taken, so that gRPC
    sends them elsewhere by itself.
    """
    for listener in quiesce.listeners(port):
        if not quiesce.refuse_connections(listener):
            quiesce.shut(listener)  # whoever came in later would bring calls, and nobody would ever be quiet
    await asyncio.sleep(quiesce.SETTLE_SECONDS)
    held = []
    for connection in quiesce.connections(port):
        quiesce.hold_data(connection)
        held.append(quiesce.kept(connection))
    if await _falls_quiet(busy):
        await server.stop(GOODBYE_SECONDS)
        # Closed for good with data unread it would be reset, and the GOAWAY may be unread.
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
