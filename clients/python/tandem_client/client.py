"""The clients of a Tandem recommender server: `Client` for blocking programs, and `AsyncClient` for asyncio programs.

Each has a method for each function of `calls`. It sends over HTTP or gRPC, by the scheme of the server's URL, and tries
again after a failure that may pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, overload
from urllib.parse import urlsplit

from pydantic import BaseModel

from tandem_client import calls
from tandem_client.calls import Call
from tandem_client.errors import ClientError
from tandem_client.http import AsyncHttpTransport, HttpTransport
from tandem_client.retry import Tries
from tandem_client.trust import Trust

P = ParamSpec("P")
A = TypeVar("A", bound=BaseModel)

DEADLINE_SECONDS = 10.0
"""The default deadline of a client, so that each call ends."""


class _Verb(Generic[P, A]):
    """A method of both clients: it takes the parameters of `build` and returns the answer, or an awaitable of it."""

    def __init__(self, build: Callable[P, Call[A]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: Client, owner: object = None) -> Callable[P, A]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: object = None) -> Callable[P, Awaitable[A]]: ...
    @overload
    def __get__(self, client: None, owner: object = None) -> _Verb[P, A]: ...
    def __get__(self, client: Any, owner: object = None) -> Any:
        if client is None:
            return self

        @wraps(self._build)
        def send(*args: P.args, **fields: P.kwargs) -> Any:
            return client.send(self._build(*args, **fields))

        return send


class _Verbs:
    recommend = _Verb(calls.recommend)
    recommend_many = _Verb(calls.recommend_many)
    similar = _Verb(calls.similar)
    explain = _Verb(calls.explain)
    rank = _Verb(calls.rank)
    add_events = _Verb(calls.add_events)
    put_items = _Verb(calls.put_items)
    item = _Verb(calls.item)
    forget_item = _Verb(calls.forget_item)
    user = _Verb(calls.user)
    forget = _Verb(calls.forget)
    merge = _Verb(calls.merge)
    status = _Verb(calls.status)


class Client(_Verbs):
    """A client for blocking programs; threads may share it.

    url: http://host:3000 or grpc://host:3001, or https:// and grpcs:// with TLS. deadline: seconds for a call, with all
    its tries and pauses; it is sent along, and the service answers with what is ready by then. ca: file of the CA that
    signed the service's certificate; by default the CAs of the system. cert: files of a client certificate and its key.
    key: an API key, sent with each call. Methods raise the errors of `errors` and no others.
    """

    def __init__(
        self,
        url: str,
        deadline: float = DEADLINE_SECONDS,
        key: str | None = None,
        *,
        ca: Path | str | None = None,
        cert: tuple[Path | str, Path | str] | None = None,
    ) -> None:
        self._deadline = deadline
        trust, headers = Trust.of(url, ca, cert), _headers(key)
        if place := _rpc_place(url):
            with _needs_grpc():
                from tandem_client.rpc import RpcTransport
            self._transport: HttpTransport | RpcTransport = RpcTransport(place, headers, trust)
        else:
            self._transport = HttpTransport(url, headers, trust)

    def send(self, call: Call[A]) -> A:
        """Send a call, again after a failure that may pass, and return the answer."""
        tries = Tries(self._deadline if call.deadline is None else call.deadline)
        while True:
            try:
                return self._transport.send(call, tries.left())
            except ClientError as error:
                pause = tries.pause_after(error)
            time.sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Verbs):
    """A client for asyncio programs, with the parameters of `Client`. Create it while the event loop runs."""

    def __init__(
        self,
        url: str,
        deadline: float = DEADLINE_SECONDS,
        key: str | None = None,
        *,
        ca: Path | str | None = None,
        cert: tuple[Path | str, Path | str] | None = None,
    ) -> None:
        self._deadline = deadline
        trust, headers = Trust.of(url, ca, cert), _headers(key)
        if place := _rpc_place(url):
            with _needs_grpc():
                from tandem_client.rpc import AsyncRpcTransport
            self._transport: AsyncHttpTransport | AsyncRpcTransport = AsyncRpcTransport(place, headers, trust)
        else:
            self._transport = AsyncHttpTransport(url, headers, trust)

    async def send(self, call: Call[A]) -> A:
        """Send a call, again after a failure that may pass, and return the answer."""
        tries = Tries(self._deadline if call.deadline is None else call.deadline)
        while True:
            try:
                return await self._transport.send(call, tries.left())
            except ClientError as error:
                pause = tries.pause_after(error)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@contextmanager
def _needs_grpc() -> Iterator[None]:
    """Name the extra where grpcio or protobuf is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError("grpc:// addresses need grpcio: pip install 'tandem-client[grpc]'") from error


def _headers(key: str | None) -> dict[str, str]:
    """The headers that carry the key; ValueError, which does not repeat the key, for text that can't be one."""
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("The key has characters that no key has; pass the key as `service keys add` printed it.")
    return {"authorization": f"Bearer {key}"}


def _rpc_place(url: str) -> str | None:
    """host:port of a grpc:// or grpcs:// address, None for an HTTP address; ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return None
    if parts.scheme in {"grpc", "grpcs"} and parts.port:
        return parts.netloc
    raise ValueError(
        f"{url!r} is no address of a deployment; give http://host:port or grpc://host:port, with TLS https or grpcs."
    )
