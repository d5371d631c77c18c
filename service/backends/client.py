"""The HTTP client with which the gateway calls a backend (the retrieval or ranking service), over a unix socket or TCP.

It sends each batch of queries as rows of bytes, with aiohttp.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import aiohttp
import numpy as np
from yarl import URL

from recsys.errors import StageError
from service.backends.addresses import Addresses
from service.backends.rows import CONTENT_TYPE, WIDTH

PORT = 3000
"""Of a backend whose URL has no port; `PORT` has the same default."""

SESSION_SECONDS = 3.0
"""Age at which the connections are replaced. One worker serves all calls of a connection, so new workers and new hosts
receive calls only over new connections. A new connection costs about 0.3 ms."""

NEXT_ADDRESS_SECONDS = 0.05
"""Wait before the next address of a name is tried beside the first; it only costs a second connection attempt."""

UNACKNOWLEDGED_MS = 2000
"""How long sent bytes may stay unacknowledged before the kernel closes a connection. Its default is 15 minutes."""

_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError, aiohttp.ClientOSError)
"""The connection closed while the call was sent or before an answer began."""


class BackendClient:
    """Calls the APIs of one backend. It belongs to one event loop."""

    def __init__(
        self, url: str, connect_seconds: float, inject: Callable[[dict[str, str]], None] | None = None
    ) -> None:
        """url: file:// and the path of a socket, or http:// or tcp:// and a host.

        connect_seconds: the time to connect, at most. inject: adds headers to each call, such as those of a trace.
        """
        parts = urlsplit(url)
        self._url = url
        self._socket = unquote(parts.path) if parts.scheme == "file" else None
        self._descriptor = None if self._socket is None else _descriptor(self._socket)
        host = "backend" if self._socket else f"{parts.hostname}:{parts.port or PORT}"
        self._base = URL(f"http://{host}")
        self._apis: dict[str, URL] = {}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._inject = inject
        self._addresses: Addresses | None = None
        self._session: _Session | None = None

    async def call(self, api: str, rows: np.ndarray) -> np.ndarray:
        """Send rows [B, W] uint8 to an API and return the rows of the answer; StageError without one.

        A call whose connection closes is sent once more, over a new connection. A cancelled call closes its connection.
        """
        try:
            session = await self._current()
            try:
                return await self._send(session, api, rows)
            except aiohttp.ClientConnectorError:
                raise
            except _CLOSED:
                return await self._send(await self._after(session), api, rows)
        except aiohttp.ClientConnectorError as error:
            raise StageError(f"nothing listens at {self._url}: {error}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise StageError(f"{self._url} did not accept a connection in time") from error
        except aiohttp.ClientError as error:
            raise StageError(f"{api}: {str(error) or 'the connection was closed'}") from error

    async def close(self) -> None:
        """Close the connections; calls in flight end first."""
        session, self._session = self._session, None
        if session is not None:
            await session.retire()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def _send(self, session: _Session, api: str, rows: np.ndarray) -> np.ndarray:
        url = self._apis.get(api)
        if url is None:
            url = self._apis[api] = self._base / api
        body = np.ascontiguousarray(rows)
        headers = {"content-type": CONTENT_TYPE, WIDTH: str(body.shape[1])}
        if self._inject is not None:
            self._inject(headers)
        status, width, answer = await session.post(url, body.data.cast("B"), headers)
        if status != 200 or not width.isdigit() or not int(width) or len(answer) % int(width):
            raise StageError(f"{api}: the backend answered {status}")
        return np.frombuffer(answer, np.uint8).reshape(-1, int(width))

    async def _current(self) -> _Session:
        """The session of this moment; each is used for SESSION_SECONDS."""
        session = self._session
        if session is None or session.until < asyncio.get_running_loop().time():
            return await self._after(session)
        return session

    async def _after(self, old: _Session | None) -> _Session:
        """A session that is not `old`, with connections of its own. Several calls may lose `old` at once."""
        made = self._session
        if made is None or made is old:
            made = self._session = _Session(self._connector(), self._timeout)
            if old is not None:
                await old.retire()
        return made

    def _connector(self) -> aiohttp.BaseConnector:
        if self._socket is not None:
            path = self._socket if self._descriptor is None else f"/proc/self/fd/{self._descriptor}"
            return aiohttp.UnixConnector(path, limit=0)
        self._addresses = self._addresses or Addresses()
        return aiohttp.TCPConnector(
            limit=0, resolver=self._addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, socket_factory=_socket
        )


class _Session:
    """A session of aiohttp that closes after the last of its calls."""

    def __init__(self, connector: aiohttp.BaseConnector, timeout: aiohttp.ClientTimeout) -> None:
        self.until = asyncio.get_running_loop().time() + SESSION_SECONDS
        self._calls = 0
        self._retired = False
        self._http = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
            auto_decompress=False,
        )

    async def post(self, url: URL, body: memoryview, headers: Mapping[str, str]) -> tuple[int, str, bytearray]:
        """The status, the width of a row, and the body, which may be written to."""
        self._calls += 1
        try:
            async with self._http.post(url, data=body, headers=headers) as response:
                return response.status, response.headers.get(WIDTH, ""), bytearray(await response.read())
        finally:
            self._calls -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        """Close when no call is in flight; new calls must not start."""
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._calls:
            await self._http.close()


def _descriptor(path: str) -> int | None:
    """A descriptor by which a unix socket is reached after its path is gone; None if there is none.

    BentoML removes the folder of the sockets when it begins to stop, and the gateway drains after that.
    """
    with suppress(OSError, AttributeError):  # Linux only
        return os.open(path, os.O_PATH)
    return None


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose connection the kernel closes when the network is gone, with what waits to be sent."""
    family, kind, proto, _, _ = address
    made = socket.socket(family, kind, proto)
    with suppress(OSError, AttributeError):  # Linux only
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return made
