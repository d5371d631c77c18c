"""How a connection ends: it has taken too long, it is refused, it makes way, or its server ends.

A refusal is one answer made beforehand, and nothing behind it is parsed. What still comes then is thrown away, so that
the client gets to read why; but no more of it than all connections may pour together, and the rest is left to the
kernel, which stops who sends it. When it is looked at is `sweep`'s.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.edge import bounds, refusals
from service.edge.refusals import Refusal
from service.edge.sweep import Sweep
from service.telemetry import metrics


class EndingConnection(HttpToolsProtocol):
    """uvicorn's HTTP that `sweep` may end; whoever extends it says when a message begins and is whole."""

    leaving = False
    """Whether every answer is the last on its connection; set for all of a process that leaves (`service.drain`)."""
    _ends: tuple[asyncio.TimerHandle, ...] = ()
    _taken = False
    """Whether a request of it is under way that uvicorn knows nothing of (`fast_connection`)."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._sweep = Sweep.of(server_state, self.loop)
        self._since = self.loop.time()  # when what it is waited for began: a head, a body, an end
        self._unread_since: float | None = None
        self._in_message = False
        self._running: RequestResponseCycle | None = None  # with requests behind it, `cycle` is the last of those
        self._last: Refusal | None = None  # said when what is asked before is answered
        self._ending = self._lingers = False
        self._thrown_away = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep nothing of it; what runs is told that nobody is there, which uvicorn tells the last request alone."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn does so only where nothing went wrong
        self._sweep.let_go(self)
        for timer in self._ends:
            timer.cancel()

    @property
    def _begun(self) -> bool:
        """Whether a head has begun and not ended: then uvicorn does not know its method."""
        return self.scope is not None and "method" not in self.scope

    @property
    def idle(self) -> bool:
        """Whether it is waited for: no request of it is whole and without an answer, and it is not at its end."""
        owed = self.cycle is not None and not self.cycle.response_complete and not self._in_message
        return not (owed or self._taken or self._ending or self.transport.is_closing())

    @property
    def since(self) -> float:
        """When what it is waited for began."""
        return self._since

    def shutdown(self) -> None:
        """The server ends: close after the next answer, or when none is asked for.

        uvicorn closes what is idle at once, whatever is on its way there.
        """
        self.leaving = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        idle = self.loop.call_later(bounds.IDLE_SECONDS, self._close_idle)
        self._ends = (idle, self.loop.call_later(bounds.CUT_SECONDS, self.transport.abort))

    def _close_idle(self) -> None:
        if not (self._begun or self._taken) and (self.cycle is None or self.cycle.response_complete):
            self.leave()

    def refuse(self, refusal: Refusal) -> None:
        """Take no more of it: answer what was asked before, then say why, and close."""
        metrics.refused_connections.labels(refusal.reason).inc()
        self._ending = True
        self._sweep.let_go(self)
        running = self.cycle is not None and not self.cycle.response_complete
        if self._in_message:
            self.cycle.body = bytearray()  # up to 4 MiB, kept as long as this
        if self._in_message and running:  # the request that is refused is `cycle`
            if self.pipeline:
                self.pipeline.popleft()
                self._last = refusal
            elif self.cycle.response_started:
                self.cycle.keep_alive = False
            else:
                self.cycle.disconnected = True  # whoever reads its body is told that nobody is there
                self.cycle.message_event.set()
                self._end(refusal)
        elif running:
            self._last = refusal
        else:
            self._end(Refusal(refusal.reason) if self._in_message else refusal)
        self._throw_away(0)

    def end_early(self) -> None:
        """What it asked is answered and its body still comes: who has no key, say, does not pour it for nothing."""
        if self._lingers or self.transport.is_closing():
            return
        if not self._ending:
            metrics.refused_connections.labels(refusals.ANSWERED.reason).inc()
        self._unset_keepalive_if_required()  # uvicorn's time between two requests, which would cut this short
        self._ending = True
        self._sweep.let_go(self)
        self.cycle.body = bytearray()
        self._linger()
        self._throw_away(0)

    def _throw_away(self, size: int) -> None:
        """Read on until it is closed, to throw away what comes; or not, where others' was enough for now."""
        self._thrown_away += size
        if self._sweep.may_throw_away(size):
            self.flow.resume_reading()
        else:
            self.flow.pause_reading()

    def _end(self, refusal: Refusal) -> None:
        self._ending, self._last = True, None
        self.pipeline.clear()
        if self.transport.is_closing():
            return
        if not refusal.told:
            self.transport.close()
            return
        self.transport.write(refusal.told)
        self._linger()

    def _linger(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingers = True
        self.loop.call_later(bounds.LINGER_SECONDS, self._linger_on, self._thrown_away)

    def _linger_on(self, thrown_away: int) -> None:
        """While more comes, as long as it might have taken: who sends 4 MiB by a slow line gets to read why, too."""
        most = bounds.BODY_SECONDS if self._in_message else bounds.HEAD_SECONDS
        if self._thrown_away == thrown_away or self.loop.time() - self._since > most:
            self.leave()
        else:
            self.loop.call_later(bounds.LINGER_SECONDS, self._linger_on, self._thrown_away)

    @property
    def lingers(self) -> bool:
        """Whether it is refused, and open for its client to read why."""
        return self._lingers and not self.transport.is_closing()

    def leave(self) -> None:
        """Close it, once: asyncio's TLS that is closed again forgets its connection, which then is never cut."""
        if not self.transport.is_closing():
            self.transport.close()

    @property
    def unread(self) -> int:
        """How many bytes its client has to take."""
        return int(self.transport.get_write_buffer_size())

    def look(self, now: float) -> bool:
        """End it where it has taken too long; whether it did."""
        if not self.unread:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > bounds.READ_SECONDS:
            self.abort()
            return True
        waited = now - self._since
        if self._ending or self.transport.is_closing():
            return False
        if self._in_message and waited > bounds.BODY_SECONDS:
            self.refuse(refusals.LATE_BODY)
        elif not self._in_message and self.idle and waited > bounds.HEAD_SECONDS:
            self.refuse(refusals.LATE_HEAD if self._begun else refusals.SILENT)
        return self._ending

    def abort(self) -> None:
        """Close it with what it has not read."""
        metrics.refused_connections.labels(refusals.UNREAD.reason).inc()
        self._ending = True
        if (place := self.transport.get_extra_info("socket")) is not None:  # and what the kernel keeps of it goes too
            place.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def make_way(self) -> None:
        """Close it for another's sake."""
        self.refuse(refusals.MADE_WAY)
