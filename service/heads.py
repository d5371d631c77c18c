"""A request's head has to be here in time, and a connection ends without losing one that was on its way.

uvicorn waits for a head for ever, and a half-sent one holds its connection: it has a patience for what comes between
two requests (`timeout_keep_alive`) and none for what comes before the first or within a head (0.54). A body's is the
door's (`service.bodies`). When it ends it closes what is idle at once, whatever is on its way there.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.schema.answers import ErrorBody, ErrorResponse

HEAD_SECONDS = 10.0
"""In which a head has to be here, whole, from its first byte on; or from when the connection was opened."""

IDLE_SECONDS = 1.0
"""How long a connection on which nothing is asked is kept when its server ends: what its client was just sending is
answered, with the word that it is the last. Who sends exactly when the time is over finds it closed, as ever."""

CUT_SECONDS = 5.0
"""After which a connection is cut all the same: whoever does not read its answer."""

_BODY = ErrorResponse(
    error=ErrorBody(code="timeout", message=f"The request's head did not come within {HEAD_SECONDS:.0f} seconds.")
).model_dump_json(exclude_none=True)
_LATE = (
    "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    f"content-length: {len(_BODY)}\r\nconnection: close\r\n\r\n{_BODY}"
).encode()


class HeadsInTime(HttpToolsProtocol):
    """uvicorn's HTTP, which closes a connection whose next head does not come in time."""

    leaving = False
    """Whether every answer is the last on its connection; set for all of a process that leaves (`service.drain`)."""

    _overdue: asyncio.TimerHandle | None = None
    _ends: tuple[asyncio.TimerHandle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head."""
        super().connection_made(transport)
        self._overdue = self.loop.call_later(HEAD_SECONDS, self._close)

    def data_received(self, data: bytes) -> None:
        """Go on waiting where a head has begun, and stop where it is whole."""
        super().data_received(data)
        if self._begun:
            self._overdue = self._overdue or self.loop.call_later(HEAD_SECONDS, self._close)
        elif self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        for timer in (self._overdue, *self._ends):
            if timer is not None:
                timer.cancel()

    def on_headers_complete(self) -> None:
        """Say that this is the last answer, where it is."""
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server ends: close after the next answer, or when none is asked for."""
        self.leaving = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        idle = self.loop.call_later(IDLE_SECONDS, self._close_idle)
        self._ends = (idle, self.loop.call_later(CUT_SECONDS, self.transport.abort))

    def _close_idle(self) -> None:
        if not self._begun and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    @property
    def _begun(self) -> bool:
        """Whether a head has begun and not ended: then uvicorn does not know its method."""
        return self.scope is not None and "method" not in self.scope

    def _close(self) -> None:
        self._overdue = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:  # the answer to the request before comes first
            self._overdue = self.loop.call_later(HEAD_SECONDS, self._close)
            return
        if self._begun:
            self.transport.write(_LATE)
        self.transport.close()


def keep_heads_in_time() -> None:
    """Have servers that start in this process from now on wait no longer; BentoML's take uvicorn's choice."""
    auto.AutoHTTPProtocol = HeadsInTime
