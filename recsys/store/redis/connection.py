"""The way to a Redis: where a URL points, and what went wrong on it as a sentence."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.connection import parse_url

from recsys.errors import SettingsError, StoreError, StoreFull, StoreUnavailable

_IDLE, _DEAD_MS = 3, 5_000
"""Seconds of silence after which a connection is probed, and milliseconds without an answer after which it is dead."""


def address(url: str) -> str:
    """Where a Redis URL points, built from its parsed parts so that no password can be in it.

    SettingsError where it isn't one; the URL is not repeated there, since a typo may put the password anywhere.
    """
    try:
        parts = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py has no hint for it
    except ValueError:
        parts = {}
    scheme = urlsplit(url).scheme if parts else ""
    if parts and not _takes_options(url):
        raise SettingsError(
            "REDIS_URL has an option behind its ? that redis-py does not know, or a wrong value of one. Take it out, "
            "or write what it knows, such as ssl_ca_certs=FILE; a ? of the password is written %3F."
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


def _takes_options(url: str) -> bool:
    """Whether a client could be made of it: redis-py itself looks when it first connects, and then has no sentence."""
    try:
        redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, redis.RedisError):
        return False
    return True


def watched(url: str) -> dict[str, Any]:
    """What a client is told so that it notices a network that is gone, whose packets nobody answers or refuses.

    A connection that lies in a pool or listens for a bell is probed, and found dead; so is one whose bytes nobody
    acknowledges. Left to itself the kernel takes two hours for the one, and a quarter of an hour for the other.
    """
    if urlsplit(url).scheme == "unix" or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    probes = {socket.TCP_KEEPIDLE: _IDLE, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
    return {"socket_keepalive": True, "socket_keepalive_options": probes | {socket.TCP_USER_TIMEOUT: _DEAD_MS}}


class sentences:  # noqa: N801  # read as a word of its `with`, and a generator would take four calls more of each
    """Say what Redis or the way to it has against a command, in our own errors."""

    __slots__ = ("_at",)

    def __init__(self, at: str) -> None:
        """at: `address`."""
        self._at = at

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if error is not None and (said := _said(error, self._at)):
            raise said from error


def _said(error: BaseException, at: str) -> StoreError | None:
    """What an error of redis-py's is in ours; None for any other."""
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
    """The system's word for what went wrong, where there is one beneath redis-py's."""
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
