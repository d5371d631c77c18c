"""uvicorn's server without its clock.

It looks ten times a second whether it is to end, and a process that slept pays .2 ms of CPU for each
(docs/decisions.md). Here it is woken when it is told to end; once a second, or more seldom, it makes the date that
answers bear, and keeps uvicorn's other promises.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import uvicorn

SECONDS, UNREAD_SECONDS = 1.0, 5.0
"""Between two looks: what uvicorn's date is good for; and where nobody reads it, as of what gateways ask.

In BentoML's development mode all services are one process, whose dates are made as seldom.
"""

TICKS = 10
"""Of uvicorn's go into one of ours; it makes a date at every tenth."""


def calm(seconds: float = SECONDS) -> None:
    """Have this process's servers look so seldom, and when they are told to end; said before they start, and again."""
    server: Any = uvicorn.Server
    server.tandem_seconds = seconds
    server.main_loop = _main_loop
    server.should_exit = property(_is_told, _tell)


async def _main_loop(server: Any) -> None:
    """Return when the server is to end."""
    loop, ticks = asyncio.get_running_loop(), 0
    woken = asyncio.Event()
    server.tandem_woken = loop, woken
    while not await server.on_tick(ticks):
        ticks += TICKS
        timer = loop.call_later(server.tandem_seconds, woken.set)
        await woken.wait()
        timer.cancel()
        woken.clear()


def _is_told(server: Any) -> bool:
    return bool(server.__dict__.get("tandem_ends", False))


def _tell(server: Any, ends: bool) -> None:
    """Also from a signal's handler, or another thread."""
    server.__dict__["tandem_ends"] = ends
    if ends and "tandem_woken" in server.__dict__:
        loop, woken = server.tandem_woken
        with suppress(RuntimeError):  # its loop has ended before
            loop.call_soon_threadsafe(woken.set)
