"""How a deployment stops: the gateway first, while all that it asks still answers, then the others; and in time.

Where retrieval or ranking is alone on a host, it stands in the gateway's place.

BentoML's arbiter (circus) unlinks the callees' sockets and sends every service SIGTERM at once: what the gateway has
accepted then finds nobody to ask. The listening socket stays open in the arbiter, and in all workers, to the very end:
whoever connects meanwhile waits for somebody who never comes, and is reset.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from service import quiesce
from service.drain import DRAIN

logger = logging.getLogger("tandem")

ENTRY, ENTRY_SOCKET = "service", "_bento_api_server"
"""As BentoML names the watcher of the entry service and its socket."""

GATEWAY_SECONDS = 16.0
"""From SIGTERM to SIGKILL for the gateway: 5 s for gRPC's last calls, 8 for what is still to be logged or forgotten,
and 3 to close. uvicorn waits for a client that reads slowly without a limit, so such a client costs all of it."""

CALLEE_SECONDS = 3.0
"""The same for retrieval and ranking, which nobody asks any more. With 8 s of TANDEM_DRAIN_SECONDS that is 27.2 in all,
which leaves a supervisor that allows 30 the time to stop the store."""

CLOSED_SECONDS = 0.5
"""From SIGTERM on, after which no worker of the gateway listens any more: uvicorn is told by the signal."""

TURN_SECONDS = 2.0
"""How long the arbiter may be busy with something else, most of all with its start."""

SOON = 0.1
"""Seconds until it is asked again whether it is."""

GATEWAY = "Gateway"
"""The entry service where the arguments of its workers name none; retrieval or ranking alone is named there."""


def service_of(watcher: Any) -> str:
    """The service that a watcher of BentoML's minds: its arguments say so, and so does its name for a callee."""
    told = list(getattr(watcher, "args", None) or ())
    if "--service-name" in told[:-1]:
        return str(told[told.index("--service-name") + 1])
    return str(watcher.name).partition("_")[2] or GATEWAY


class Ending:
    """Stops one arbiter, once; all of it runs in its loop."""

    def __init__(self, arbiter: Any, stop: Callable[[], Any], drain_seconds: float) -> None:
        """stop: what the arbiter does by itself. drain_seconds: from not ready to nothing new."""
        self._arbiter = arbiter
        self._stop = stop
        self._drain_seconds = drain_seconds
        self._begun = False

    def begin(self, broken: bool = False) -> None:
        """Begin to stop, unless it has begun; broken: the process ends with 1 then."""
        if broken:
            self._arbiter._exception = SystemExit(1)
        if not self._begun:
            self._begun = True
            self._arbiter._stopping = True  # nobody is replaced from now on
            self._arbiter.loop.add_callback(self._end)

    async def _end(self) -> None:
        await self._wait_for_turn()
        try:
            await self._drain()
        except Exception:  # whatever BentoML has changed: it stops, all at once
            logger.exception("The gateway could not be stopped before the others.")
        for watcher in self._arbiter.watchers:
            watcher.graceful_timeout = CALLEE_SECONDS
        await self._stop_rest()

    async def _wait_for_turn(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        while self._arbiter._exclusive_running_command is not None and time.monotonic() < end:
            await asyncio.sleep(SOON)

    async def _drain(self) -> None:
        """Let the entry service leave: not ready, then nothing new, then everything answered."""
        [gateway] = [watcher for watcher in self._arbiter.watchers if watcher.name == ENTRY]
        door = self._arbiter.sockets[ENTRY_SOCKET]
        for process in gateway.get_active_processes():
            with suppress(Exception):  # psutil's, of a process that ended this moment
                process.send_signal(DRAIN)
        await asyncio.sleep(self._drain_seconds)
        held_back = quiesce.refuse_connections(door)
        if not held_back:  # then at once, while workers accept whatever comes: one that waits for them is reset
            quiesce.shut(door)
        await asyncio.sleep(quiesce.SETTLE_SECONDS)
        gateway.graceful_timeout = GATEWAY_SECONDS
        leaving = gateway._stop(True)
        if held_back:
            await asyncio.sleep(CLOSED_SECONDS)
            quiesce.shut(door)
        await leaving

    async def _stop_rest(self) -> None:
        from circus.exc import ConflictError

        while True:
            try:
                await self._stop()
            except ConflictError:
                await asyncio.sleep(SOON)
            else:
                return
