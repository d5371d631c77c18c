"""Connect to Redis: clients with time limits, many commands in one round trip, and errors as sentences.

The sentences name the address of the server without its password. With a URL of Sentinels each new connection goes to
the primary that a Sentinel names at that time. A failover closes connections, or a former primary refuses writes. In
both cases redis-py connects anew, and so to the new primary.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer
from redis.retry import Retry

from recsys.errors import StoreError, StoreFull, StoreUnavailable
from recsys.store.redis.store_address import SentinelUrl, sentinel_url

Command = tuple[bytes, ...]

_CONNECTIONS = 64
"""Connections of an async client; further calls wait for one. redis-py's default pool fails calls beyond its limit."""

_IDLE_SECONDS, _DEAD_MS = 3, 5_000
"""Silence after which a connection is probed, and time without an answer after which it is closed."""

_SENTINEL_SECONDS = 0.2
"""The limit of a connect to a Sentinel and of its reply. Two unreachable Sentinels fit into a read's limit of 1 s."""


class _ClosedOnError:
    """Closes a connection after a timeout, so that no later call reads its replies; redis-py 8.1 omits that here."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        parent: Any = super()
        return parent.read_response(*args, **{"disconnect_on_error": True, **options})


class _Connection(_ClosedOnError, redis.sentinel.SentinelManagedConnection):
    pass


class _TlsConnection(_ClosedOnError, redis.sentinel.SentinelManagedSSLConnection):
    pass


class _Pool(redis.sentinel.SentinelConnectionPool):
    """Closes the connections to Sentinels too."""

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


class _AsyncPool(redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """Calls beyond `max_connections` wait for a connection. Closes the connections to Sentinels too."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def sync_client(url: str, connect_seconds: float, reply_seconds: float, **options: Any) -> redis.Redis:
    """A client with limits for a connect and for each reply."""
    limits = {"socket_connect_timeout": connect_seconds, "socket_timeout": reply_seconds}
    options = limits | tcp_options(url) | options
    if of_sentinels := sentinel_url(url):
        sentinel: Any = redis.sentinel.Sentinel(
            of_sentinels.hosts, sentinel_kwargs=_sentinel_options(of_sentinels, options, Retry(NoBackoff(), 0))
        )
        kind = _TlsConnection if "ssl" in of_sentinels.server_options else _Connection
        options |= {"connection_pool_class": _Pool, "connection_class": kind, **of_sentinels.server_options}
        client: redis.Redis = sentinel.master_for(of_sentinels.service, **options)
        return client
    return redis.Redis.from_url(url, **options)


def async_client(
    url: str, connect_seconds: float, reply_seconds: float | None, retries: int = 1
) -> redis.asyncio.Redis:
    """A client for one event loop. reply_seconds: None for `round_trip`. retries: on a new connection."""
    options: dict[str, Any] = tcp_options(url) | {
        "max_connections": _CONNECTIONS,
        "timeout": connect_seconds,
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": reply_seconds,
        "retry": AsyncRetry(NoBackoff(), retries, (redis.ConnectionError,)),
    }
    if of_sentinels := sentinel_url(url):
        sentinel: Any = redis.asyncio.sentinel.Sentinel(
            of_sentinels.hosts, sentinel_kwargs=_sentinel_options(of_sentinels, options, AsyncRetry(NoBackoff(), 0))
        )
        options |= {"connection_pool_class": _AsyncPool, **of_sentinels.server_options}
        client: redis.asyncio.Redis = sentinel.master_for(of_sentinels.service, **options)
        return client
    return redis.asyncio.Redis.from_pool(redis.asyncio.BlockingConnectionPool.from_url(url, **options))


def _sentinel_options(url: SentinelUrl, options: dict[str, Any], retry: Any) -> dict[str, Any]:
    """The options of connections to Sentinels; options: of those to the primary."""
    alive = {name: value for name, value in options.items() if name.startswith("socket_keepalive")}
    limits = {"socket_connect_timeout": _SENTINEL_SECONDS, "socket_timeout": _SENTINEL_SECONDS}
    return {**url.sentinel_options, **alive, **limits, "retry": retry}


def copy_free_serializer() -> PythonRespSerializer:
    """A serializer of commands that does not copy large values; that of hiredis copies them twice."""

    def encode(value: Any) -> bytes | memoryview:
        return value if isinstance(value, bytes | memoryview) else str(value).encode()

    return PythonRespSerializer(6_000, encode)


def retry_once() -> Retry:
    """One more try at once after a dropped connection, as of a restarted server. A timeout is not retried."""
    return Retry(NoBackoff(), 1, (redis.ConnectionError,))


async def round_trip(client: redis.asyncio.Redis, commands: Sequence[Command], seconds: float) -> list[Any]:
    """Return the reply to each command; the reply to a refused command is a redis.ResponseError in the list.

    client: has no `socket_timeout`. redis-py applies that limit to each reply; one limit for all replies is cheaper.
    seconds: the limit, in which connecting and the client's retries are included.

    Raises redis.RedisError if the store can't be reached, and TimeoutError after the limit. redis-py closes the
    connection of a late or cancelled call, so that no later call reads its replies.
    """
    async with asyncio.timeout(seconds), client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)


def own_values(replies: Sequence[Any]) -> list[Any]:
    """Replies, with None for a key of another type: such a key must not fail the reads of other users."""
    for reply in replies:
        if isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE"):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def tcp_options(url: str) -> dict[str, Any]:
    """Options by which a client detects a dead network within seconds.

    They probe idle and subscribed connections, and close connections whose bytes are not acknowledged. The kernel's
    defaults take two hours and a quarter of an hour.
    """
    if urlsplit(url).scheme == "unix" or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    probes = {socket.TCP_KEEPIDLE: _IDLE_SECONDS, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
    return {"socket_keepalive": True, "socket_keepalive_options": probes | {socket.TCP_USER_TIMEOUT: _DEAD_MS}}


class translated_errors:  # noqa: N801  # used like a function; a generator would cost four calls more on the hot path
    """A context that raises Redis' errors as errors of `recsys.errors`. at: the `address`."""

    __slots__ = ("_at",)

    def __init__(self, at: str) -> None:
        self._at = at

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if error is not None and (translated := _translated(error, self._at)):
            raise translated from error


def _translated(error: BaseException, at: str) -> StoreError | None:
    """The error of ours for an error of redis-py; None for any other error."""
    if isinstance(error, redis.AuthenticationError):
        return StoreError(f"Redis at {at} refused the user or the password.")
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return StoreUnavailable(f"Redis at {at} is still loading its data.")
    if isinstance(error, redis.ResponseError) and str(error).startswith("NOREPLICAS"):
        return StoreUnavailable(f"Redis at {at} accepts no writes until enough replicas follow it.")
    if isinstance(error, redis.ResponseError) and "unknown command 'SENTINEL'" in str(error):
        return StoreError(
            f"The server at {at} is no Sentinel. The URL of a server without Sentinels is redis://HOST:PORT."
        )
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return StoreUnavailable(f"No Redis answers at {at} ({_reason(error)}).")
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return StoreFull(
            f"Redis at {at} is full. Raise its maxmemory, or delete generations: python -m flows delete ID."
        )
    return StoreError(f"Redis refused: {error}") if isinstance(error, redis.RedisError) else None


def _reason(error: BaseException) -> str:
    """The operating system's text for an error, if there is one beneath redis-py's."""
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return "timed out"
    if isinstance(error, redis.sentinel.MasterNotFoundError):
        return _no_primary(str(error))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}; name its CA: ?ssl_ca_certs=FILE in the URL"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
        if isinstance(cause, socket.gaierror):
            return (cause.strerror or str(cause)).lower()
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".").lower()


def _no_primary(text: str) -> str:
    """The reason why Sentinels name no primary. text: of redis-py's error, which has the error of each Sentinel."""
    reasons = {
        "AuthenticationError": "a Sentinel refused the user or the password: ?sentinel_password=... in the URL",
        " - ": "no Sentinel answers",
    }
    return next((reason for mark, reason in reasons.items() if mark in text), "no Sentinel has a primary of this name")
