"""What one connection may do: uvicorn's HTTP, with limits it has none of.

uvicorn (0.54) has a patience for what comes between two requests, and none for what comes before the first, within a
head, within a body that nobody reads, or for an answer that nobody takes; its parser collects a header of any length.
Here a body is handed over whole or not at all: what comes in drops wakes nobody. How a connection is
read is `reading`'s, how it ends `ending`'s, what goes around the parser `fast_connection`'s.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http import auto

from service.edge import bounds, refusals
from service.edge.calm import calm
from service.edge.fast_connection import FastConnection
from service.edge.fast_path import FastPath
from service.edge.packet import OnePacket
from service.edge.refusals import Refusal
from service.http import headers
from service.http.probes import PROBES
from service.schema.verdict import MAX_BODY

_PROBES = {path.encode() for path in PROBES}


class _Refused(Exception):
    """Ends the parser in one of its callbacks."""


class GuardedConnection(FastConnection):
    """uvicorn's HTTP within the limits of this module's class attributes and of `bounds`."""

    most_connections: ClassVar[int] = 1000
    most_body: ClassVar[int] = MAX_BODY
    most_held: ClassVar[int] = bounds.LARGE_BODIES
    most_head: ClassVar[int] = bounds.HEAD_BYTES
    in_turns: ClassVar[bool] = True
    """Whether large bodies wait for each other; those of gateways do not."""
    certified: ClassVar[bool] = False
    """Whether who shows no client certificate may ask the probes alone."""
    every: ClassVar[headers.Headers] = headers.EVERY

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.ws_protocol_class = None  # no verb speaks it, and its library has limits of its own
        self._head = 0  # bytes of a head that is not whole
        self._head_new = False
        self._raw = self._parts = 0
        self._fed = 0  # bytes of bodies in what was read last
        self._why: Refusal | None = None
        self._pours = self._asked_for = self._small = self._keeps = False

    @classmethod
    def admit(cls, body: int, head: int, fast_path: FastPath | None = None) -> None:
        """Bodies and heads of so many bytes, in this process, whose callers are gateways."""
        cls.in_turns, cls.fast_path = False, fast_path
        cls.most_body, cls.most_held, cls.most_head = body, bounds.CALLERS * body, head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head, where there is room."""
        super().connection_made(transport)
        self._since = self.loop.time()
        over_tls = transport.get_extra_info("sslcontext") is not None
        self._stranger = self.certified and over_tls and not transport.get_extra_info("peercert")
        if self.every[0] not in self.config.encoded_headers:  # uvicorn puts these into each answer as they stand
            self.config.encoded_headers.extend(self.every)
            self.server_state.default_headers = [*self.server_state.default_headers, *self.every]
        self._sweep.begin()
        if len(self.connections) > self.most_connections and not self._sweep.make_room(self):
            self.refuse(refusals.FULL)

    def parse(self, data: bytes) -> None:
        """As uvicorn does, and count what it does not."""
        self._taken = False
        if self.parser is None:
            return  # it was lost while it waited
        if self._ending:
            self._throw_away(len(data))
            return
        self._unset_keepalive_if_required()
        self._fed = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the answer to what asked for it closes the connection
        except httptools.HttpParserError:
            self.refuse(self._why or refusals.MALFORMED)
            return
        if self._in_message:
            self._raw += len(data)
            if self._raw > bounds.GARBAGE + 2 * self._body:
                self.refuse(refusals.LARGE_BODY)
            elif not self._asked_for:
                self._asked_for = True
                self.flow.pause_reading()  # until the body is asked for, which resumes it: who has no key pours none
            elif self._body > bounds.SMALL_BODY and self.in_turns and len(data) > bounds.FIRST_READ:
                self.read_on()
        elif self._begun:
            # Of the first part only what comes behind a body, or an end of something else, is the head's.
            end = data.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0
            self._head += len(data) - (max(end, self._fed) if self._head_new else 0)
            self._head_new = False
            if self._head > self.most_head:
                self.refuse(refusals.LARGE_HEAD)

    # The parser's callbacks.
    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._since = self.loop.time()
        self._head, self._head_new = 0, True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind a body (a trailer) is none, though uvicorn would add it to those."""
        if self._in_message:
            self._count_part()
            return
        super().on_header(name, value)
        if len(self.headers) > bounds.HEADERS:
            self._why = refusals.LARGE_HEAD
            raise _Refused

    def on_headers_complete(self) -> None:
        """A head is whole: see whether it may be."""
        self._why = self._judged()
        if self._why:
            raise _Refused
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        at_once = self.cycle.scope["method"] == "HEAD" or self.cycle.waiting_for_100_continue
        packet = OnePacket(self.transport, self._close, at_once)
        self.cycle.transport = packet  # type: ignore[assignment]  # all that it is asked for
        self._in_message = True
        self._body = self._raw = self._parts = 0
        self._asked_for = self._small  # what is little comes all the same, and its client may keep the connection
        self._since = self.loop.time()
        # What asks for another protocol is answered as if it had not, and its parser is at an end.
        if self.leaving or self.parser.should_upgrade():
            self.cycle.keep_alive = False
        self._keeps = self.cycle.keep_alive
        if not self._small:
            self.cycle.keep_alive = False  # an answer before the body is whole says that it is the last

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._count_part()
        self._body += len(body)
        self._fed += len(body)
        if self._body > self.most_body:
            self._why = refusals.LARGE_BODY
            raise _Refused
        if self.cycle.response_complete:
            return  # nobody will read it
        if self._body > bounds.SMALL_BODY:
            if not self._pours:
                self._pours = True
                self.take_ahead(bounds.RECEIVE_BUFFER)
            self._sweep.hold(self, self._body, self.most_held)
        self.cycle.body += body  # uvicorn would wake who reads it, and stop reading beyond 64 kB until it is taken

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > bounds.PARTS + self._body // bounds.PART:
            self._why = refusals.SMALL_PARTS
            raise _Refused

    def on_message_complete(self) -> None:
        """A body is whole."""
        super().on_message_complete()
        self._in_message = False
        if self._keeps and not (self.leaving or self.cycle.response_started):
            self.cycle.keep_alive = True
        if self._body > bounds.SMALL_BODY:
            self._sweep.let_go(self)

    def on_response_complete(self) -> None:
        """Wait for the next head; or say what was to be said then."""
        behind = bool(self.pipeline)
        if self._running is not None:
            self._running.body = bytearray()  # which nobody read; kept until the next request, and there may be none
        if behind:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if not self._in_message:
            self._since = self.loop.time()
        elif self.cycle.response_complete and not self.cycle.keep_alive:
            self.end_early()
        if self._last is not None and not behind:
            self._end(self._last)

    def _close(self) -> None:
        """Behind the last answer; where its body still comes, `end_early` does, or its client would not get to read."""
        if not (self._in_message and self.cycle.response_complete):
            self.transport.close()

    def _judged(self) -> Refusal | None:
        size, hosts, self._small = len(self.url), 0, False
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                if int(value) > self.most_body:
                    return refusals.LARGE_BODY
                # Who waits for `100 Continue` and is told no may leave it out: what comes next might be no body.
                self._small = int(value) <= bounds.SMALL_BODY and not self.expect_100_continue
        if size > self.most_head or len(self.headers) > bounds.HEADERS:
            return refusals.LARGE_HEAD
        if hosts > 1 or not (hosts or self.parser.get_http_version() == "1.0"):
            return refusals.MALFORMED
        if self._stranger and self.url.partition(b"?")[0] not in _PROBES:
            return refusals.NO_CERTIFICATE
        return refusals.AHEAD if len(self.pipeline) >= bounds.AHEAD else None


def guard(most_connections: int) -> None:
    """Have servers that start in this process from now on keep to it; BentoML's take uvicorn's choice."""
    bounds.raise_files()
    GuardedConnection.most_connections = bounds.connections(most_connections)
    auto.AutoHTTPProtocol = GuardedConnection
    calm()


def guard_tls(certified: bool) -> None:
    """What holds of connections of this process that come over TLS."""
    GuardedConnection.certified = certified
    GuardedConnection.every = headers.EVERY + headers.OVER_TLS
