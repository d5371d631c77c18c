"""Connect to Redis: clients with time limits, many commands in one round trip, and errors as sentences.

The sentences name the address of the server without its password.
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
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer, parse_url
from redis.retry import Retry

from recsys.errors import SettingsError, StoreError, StoreFull, StoreUnavailable

Command = tuple[bytes, ...]

_CONNECTIONS = 64
"""Connections of an async client; further calls wait for one. redis-py's default pool fails calls beyond its limit."""

_IDLE_SECONDS, _DEAD_MS = 3, 5_000
"""Silence after which a connection is probed, and time without an answer after which it is closed."""


def sync_client(url: str, connect_seconds: float, reply_seconds: float, **options: Any) -> redis.Redis:
    """A client with limits for a connect and for each reply."""
    limits = {"socket_connect_timeout": connect_seconds, "socket_timeout": reply_seconds}
    return redis.Redis.from_url(url, **limits, **tcp_options(url), **options)


def async_client(url: str, connect_seconds: float, reply_seconds: float | None) -> redis.asyncio.Redis:
    """A client for one event loop that retries once on a new connection. reply_seconds: None for `round_trip`."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=connect_seconds,
        socket_connect_timeout=connect_seconds,
        socket_timeout=reply_seconds,
        **tcp_options(url),
        retry=AsyncRetry(NoBackoff(), 1, (redis.ConnectionError,)),
    )
    return redis.asyncio.Redis.from_pool(pool)


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


def tcp_options(url: str) -> dict[str, Any]:
    """Options by which a client detects a dead network within seconds.

    They probe idle and subscribed connections, and close connections whose bytes are not acknowledged. The kernel's
    defaults take two hours and a quarter of an hour.
    """
    if urlsplit(url).scheme == "unix" or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    probes = {socket.TCP_KEEPIDLE: _IDLE_SECONDS, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
    return {"socket_keepalive": True, "socket_keepalive_options": probes | {socket.TCP_USER_TIMEOUT: _DEAD_MS}}


def address(url: str) -> str:
    """The address in a Redis URL, without user and password.

    SettingsError for a malformed URL. The error does not repeat the URL, because a typo may put the password anywhere.
    """
    try:
        parts = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py has no hint for it
    except ValueError:
        parts = {}
    scheme = urlsplit(url).scheme if parts else ""
    if parts and not _options_are_valid(url):
        raise SettingsError(
            "REDIS_URL has an option behind its ? that redis-py does not accept, or a wrong value of one. Take it out, "
            "or write one that it accepts, such as ssl_ca_certs=FILE; a ? of the password is written %3F."
        )
    if scheme == "unix" and parts.get("path"):
        return f"unix://{parts['path']}"
    if scheme in ("redis", "rediss") and parts.get("host"):
        host = f"[{parts['host']}]" if ":" in parts["host"] else parts["host"]
        return f"{scheme}://{host}:{parts.get('port', 6379)}"
    raise SettingsError(
        "REDIS_URL can't be read. It looks like redis://host:6379/0, rediss://:password@host:6380/0 or unix:///a/path;"
        " a password with special characters is percent-encoded."
    )


def _options_are_valid(url: str) -> bool:
    """Whether redis-py accepts the URL's options; by itself it checks them only when it connects."""
    try:
        redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, redis.RedisError):
        return False
    return True


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
