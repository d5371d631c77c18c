"""The verdict on a caller, the same at both doors: who it is, whether for this, and whether so often."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import cache
from typing import Any

from prometheus_client import Counter

from recsys.errors import QueryError
from service.auth.key_file import KeyFile
from service.auth.keyring import Entry, Scope
from service.auth.rate_limits import Limits
from service.schema import verbs
from service.schema.verbs import Verb
from service.telemetry import metrics

SCOPES: dict[Verb[Any, Any], Scope] = {
    verbs.RECOMMEND: Scope.READ,
    verbs.SIMILAR: Scope.READ,
    verbs.EXPLAIN: Scope.READ,
    verbs.EVENTS: Scope.WRITE,
    verbs.ITEMS: Scope.ADMIN,
    verbs.ITEM: Scope.ADMIN,
    verbs.FORGET_ITEM: Scope.ADMIN,
    verbs.USER: Scope.ADMIN,
    verbs.FORGET: Scope.ADMIN,
    verbs.MERGE: Scope.WRITE,
    verbs.STATUS: Scope.ADMIN,
}
"""What a key must be for; what is not named here is the operator's."""

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"

_BEARER = b"bearer "

caller: ContextVar[Entry] = ContextVar("caller")
"""Whose key the request has that is being answered; each has a context of its own."""


@cache
def _let_in(name: str, key_id: str) -> Counter:
    """To look it up takes as long as to count."""
    return metrics.key_requests_total.labels(name, key_id)


class Refusal(QueryError):
    """A caller who is not let in; again: seconds until another try may help."""

    def __init__(self, message: str, code: str, again: int | None = None) -> None:
        super().__init__(message, code=code)
        self.again = again


UNAUTHENTICATED = "unauthenticated"
"""The code of whoever has no key that is in force: none, two, a wrong, a revoked or an expired one."""


def unauthenticated() -> Refusal:
    """One sentence for all, made anew: one that is raised again keeps the frames of every time, bodies and all."""
    sentence = "Send a key that is in force, in the header authorization: Bearer KEY or x-api-key: KEY."
    return Refusal(sentence, UNAUTHENTICATED)


def sent(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key in a request's headers, whose names are in small letters; None for none, or for two."""
    found = None
    for name, value in headers:
        if name == AUTHORIZATION:
            if value[:7].lower() != _BEARER:
                continue  # a proxy's own
            value = value[7:].strip()
        elif name != API_KEY:
            continue
        if found is not None:
            return None
        found = value
    return found


class Gate:
    """Lets callers in by the keys in force."""

    def __init__(self, keys: KeyFile, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        """clock: unix seconds."""
        self.keys = keys
        self.limits = limits
        self._clock = clock

    def admit(self, key: bytes | None, scope: Scope | None) -> Entry:
        """The entry of a key that may do this, counted and set as `caller`; Refusal for any other.

        scope: what it must be for; None for anything. A key that is used too often is told so whatever it asks.
        """
        entry = None if key is None else self.keys.current.entry_of(key)
        if entry is None or entry.expires <= self._clock():
            raise self.refused(unauthenticated(), entry)
        if entry.interval and (wait := self.limits.wait(entry)):
            seconds = math.ceil(wait)
            sentence = f"This key may ask {1 / entry.interval:g} times a second. Come back in {seconds} s."
            raise self.refused(Refusal(sentence, "limited", seconds), entry)
        if scope is not None and scope not in entry.scopes:
            raise self.refused(Refusal(f"This key is not for this: it has no scope {scope}.", "forbidden"), entry)
        _let_in(entry.name, entry.id).inc()
        caller.set(entry)
        return entry

    def refused(self, refusal: Refusal, entry: Entry | None) -> Refusal:
        """The refusal, counted."""
        metrics.key_refused_total.labels(refusal.code, entry.name if entry else "").inc()
        return refusal
