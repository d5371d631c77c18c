"""The two clients: what they can say stands in `calls`, once; only waiting is told apart here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
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
"""Of a client that names none: nothing waits for ever."""


class _Verb(Generic[P, A]):
    """A method of both clients: it takes what `build` takes, and gives the answer, or what to await for it."""

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
        def say(*args: P.args, **more: P.kwargs) -> Any:
            return client.send(self._build(*args, **more))

        return say


class _Verbs:
    recommend = _Verb(calls.recommend)
    recommend_many = _Verb(calls.recommend_many)
    similar = _Verb(calls.similar)
    explain = _Verb(calls.explain)
    add_events = _Verb(calls.add_events)
    put_items = _Verb(calls.put_items)
    user = _Verb(calls.user)
    forget = _Verb(calls.forget)
    status = _Verb(calls.status)


class Client(_Verbs):
    """A client for blocking programs; threads may share it.

    url: http://host:3000 or grpc://host:3001, or https:// and grpcs:// with TLS. deadline: seconds that a call has, its
    tries and pauses together; the service is told, and answers with what is ready by then. ca: file of the CA that the
    service's certificate is of, the system's where there is none. cert: files of a client's certificate and its key.
    key: sent with each call, where the deployment wants one. Methods raise what `errors` draws, and nothing else.
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
            from tandem_client.rpc import RpcTransport

            self._transport: HttpTransport | RpcTransport = RpcTransport(place, headers, trust)
        else:
            self._transport = HttpTransport(url, headers, trust)

    def send(self, call: Call[A]) -> A:
        """The answer to a call."""
        tries = Tries(self._deadline if call.deadline is None else call.deadline)
        while True:
            try:
                return self._transport.send(call, tries.left())
            except ClientError as error:
                pause = tries.pause_after(error)
            time.sleep(pause)

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Verbs):
    """A client for asyncio programs; otherwise as `Client`. To be made where the event loop runs."""

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
            from tandem_client.rpc import AsyncRpcTransport

            self._transport: AsyncHttpTransport | AsyncRpcTransport = AsyncRpcTransport(place, headers, trust)
        else:
            self._transport = AsyncHttpTransport(url, headers, trust)

    async def send(self, call: Call[A]) -> A:
        """The answer to a call."""
        tries = Tries(self._deadline if call.deadline is None else call.deadline)
        while True:
            try:
                return await self._transport.send(call, tries.left())
            except ClientError as error:
                pause = tries.pause_after(error)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let go of connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _headers(key: str | None) -> dict[str, str]:
    """What tells who asks; ValueError, which does not repeat it, for what is no key."""
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("The key has signs that no key has; give it as it was printed.")
    return {"authorization": f"Bearer {key}"}


def _rpc_place(url: str) -> str | None:
    """host:port of a grpc:// or grpcs:// address, None of an HTTP one; ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return None
    if parts.scheme in {"grpc", "grpcs"} and parts.port:
        return parts.netloc
    raise ValueError(
        f"{url!r} is no address of a deployment; give http://host:port or grpc://host:port, with TLS https or grpcs."
    )
