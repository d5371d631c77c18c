"""The check of a request's API key, for the HTTP and gRPC servers: validity, scope (permission) and rate limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from recsys.errors import QueryError
from service.auth.key_file import KeyFile
from service.auth.keyring import KeyRecord
from service.auth.rate_limits import RateLimits
from service.schema.verb_table import Scope
from service.telemetry import metrics

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"

_BEARER = b"bearer "

caller: ContextVar[KeyRecord] = ContextVar("caller")
"""The entry of the key that the current request was sent with. Each request runs in a context of its own."""


class Refusal(QueryError):
    """A request that the key check refuses. retry_after: seconds until a retry may succeed, None if none can."""

    def __init__(self, message: str, code: str, retry_after: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


def unauthenticated() -> Refusal:
    """The one refusal of all requests without a key in force.

    A new exception each time: one that is raised again keeps the frames of all its tracebacks, with request bodies.
    """
    sentence = "Send a key that is in force, in the header authorization: Bearer KEY or x-api-key: KEY."
    return Refusal(sentence, "unauthenticated")


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key in a request's headers or metadata, whose names are lower case; None for no key and for two keys."""
    found = None
    for name, value in headers:
        if name == AUTHORIZATION:
            if value[:7].lower() != _BEARER:
                continue  # another scheme, such as a proxy's Basic
            value = value[7:].strip()
        elif name != API_KEY:
            continue
        if found is not None:
            return None
        found = value
    return found


class KeyCheck:
    """Admits requests by the keys in force."""

    def __init__(self, keys: KeyFile, limits: RateLimits, clock: Callable[[], float] = time.time) -> None:
        """clock: unix seconds."""
        self.keys = keys
        self.limits = limits
        self._clock = clock

    def require_admin(self) -> None:
        """Refusal unless the key of the current request has the scope admin, which a header of tests needs."""
        entry = caller.get()
        if Scope.ADMIN not in entry.scopes:
            sentence = f"This key has no scope {Scope.ADMIN}, which the header x-tandem-arm needs."
            raise self.count_refusal(Refusal(sentence, "forbidden"), entry)

    def admit(self, key: bytes | None, scope: Scope | None) -> KeyRecord:
        """Return the entry of a key in force that has the scope, count the request and set `caller`.

        scope: None if any key will do. Raises Refusal otherwise. The rate is checked before the scope, so that
        refused requests count too.
        """
        entry = None if key is None else self.keys.current.find(key)
        if entry is None or entry.end <= self._clock():
            raise self.count_refusal(unauthenticated(), entry)
        if entry.interval and (wait := self.limits.take(entry)):
            seconds = math.ceil(wait)
            sentence = f"This key is limited to {1 / entry.interval:g} requests a second. Retry after {seconds} s."
            raise self.count_refusal(Refusal(sentence, "limited", seconds), entry)
        if scope is not None and scope not in entry.scopes:
            raise self.count_refusal(Refusal(f"This key has no scope {scope}.", "forbidden"), entry)
        metrics.key_requests_total.labels(entry.name, entry.id).inc()
        caller.set(entry)
        return entry

    def count_refusal(self, refusal: Refusal, entry: KeyRecord | None) -> Refusal:
        """Count the refusal in the metrics and return it."""
        metrics.key_refused_total.labels(refusal.code, entry.name if entry else "").inc()
        return refusal
