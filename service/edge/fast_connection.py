"""How a connection has what came whole answered at once, and everything else parsed."""

from __future__ import annotations

from typing import Any, ClassVar

from service.edge.fast_path import FastPath
from service.edge.reading import ReadConnection
from service.http.headers import Headers


class FastConnection(ReadConnection):
    """uvicorn's HTTP with a way around it; whoever extends it parses."""

    fast_path: ClassVar[FastPath | None] = None
    """Of all connections of a process."""
    _joined: ClassVar[tuple[Headers, bytes]] = ([], b"")

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._stranger = False
        self._body = 0  # bytes of the last body
        self._behind = b""

    def parse(self, data: bytes) -> None:
        """Take what was read as uvicorn does."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Have it answered at once where that can be, and parse whatever else it is."""
        if self.fast_path is None:
            self.parse(data)
        elif self._taken and not self.fast_path.hurry():
            self._behind += data
            self.flow.pause_reading()  # until what was taken is answered
        elif not self._between:
            self.parse(data)
        elif not self._take(self.fast_path, data):
            before = self.cycle
            self.parse(data)
            if self.cycle is not None and self.cycle is not before:  # line breaks alone begin none
                self._learn(self.fast_path, data)

    @property
    def last(self) -> bool:
        """Whether its next answer is the last, or it takes none any more."""
        return (self.leaving and not self._behind) or self._ending or self.transport.is_closing()

    @property
    def every_header(self) -> bytes:
        """The headers that all answers have, as they are sent; uvicorn makes them anew every second."""
        headers = self.server_state.default_headers
        if self._joined[0] is not headers:
            FastConnection._joined = headers, b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._joined[1]

    def say(self, answer: bytes) -> None:
        """Send a whole answer, and go on with what came behind its request."""
        self._taken = False
        if self.parser is None or self.transport.is_closing():
            return
        self.transport.write(answer)
        self._since = self.loop.time()
        behind, self._behind = self._behind, b""
        if behind:
            self.flow.resume_reading()
            self.data_received(behind)
        elif self.leaving:
            self.leave()
        elif self.timeout_keep_alive_task is None:
            self._wait_for_another(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close it where nothing was asked for so long.

        What is answered at once leaves the timer as it was, and sets none. uvicorn takes its own back when something
        comes that it has to parse.
        """
        self.timeout_keep_alive_task = None
        if self._taken:  # its answer begins another wait
            return
        left = self._since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._wait_for_another(left)
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_another(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def cut(self) -> None:
        """Close it: what was taken will have no answer."""
        self._taken = False
        self.leave()

    @property
    def _between(self) -> bool:
        """Whether whoever asked has its answer, and nothing of what it asks next has come."""
        owed = self.cycle is not None and not self.cycle.response_complete
        busy = owed or self._in_message or self._begun or self.flow.write_paused
        return not (busy or self._stranger or self.leaving or self.last)

    def _take(self, fast_path: FastPath, data: bytes) -> bool:
        """Whether the fast path has it; it may have answered already."""
        self._taken = True
        if fast_path.take(self, data):
            return True
        self._taken = False
        return False

    def _learn(self, fast_path: FastPath, data: bytes) -> None:
        """Tell of what was parsed, where it is one request, whole, after which another may come."""
        end = data.find(b"\r\n\r\n") + 4
        if self._in_message or self._begun or self.last or end < 4:
            return
        if self._body == len(data) - end and self.cycle.keep_alive and not self.cycle.waiting_for_100_continue:
            fast_path.learn(data[:end], self.cycle.scope, self._body)
