"""Imitate a Redis stream with limits of age and size by a list, for the store in memory that unit tests use."""

from __future__ import annotations

import time
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from recsys.store.stored_types import StreamLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An entry of a user. name: milliseconds, `-` and a count, as in Redis. number: counts all entries ever added."""

    name: str
    number: int
    user: str
    value: T
    bytes: int

    @property
    def arrived(self) -> float:
        """Unix seconds."""
        return _place(self.name)[0] / 1000


@dataclass(slots=True)
class MemoryStream(Generic[T]):
    """Entries in the order of their arrival, within limits. Counts the entries that the limits remove."""

    limits: StreamLimits
    entries: list[Entry[T]] = field(default_factory=list)
    added: int = 0
    expired: int = 0
    evicted: int = 0
    _last: tuple[int, int] = (0, 0)

    def add(self, user: str, value: T, size: int) -> None:
        """Append an entry of `size` bytes, and remove entries beyond the limits."""
        now, (last, count) = int(1000 * time.time()), self._last
        self._last = (now, 0) if now > last else (last, count + 1)
        self.added += 1
        self.entries.append(Entry("{}-{}".format(*self._last), self.added, user, value, size))
        while self.entries[0].arrived < now / 1000 - self.limits.seconds:
            self.entries.pop(0)
            self.expired += 1
        used = sum(entry.bytes for entry in self.entries)
        while used > self.limits.bytes:
            used -= self.entries.pop(0).bytes
            self.evicted += 1

    def after(self, name: str, count: int) -> list[Entry[T]]:
        """The next entries after the entry `name`; from the first on for an empty name."""
        return [entry for entry in self.entries if _place(entry.name) > _place(name)][:count]

    def drop(self, names: Set[str]) -> None:
        """Remove entries."""
        self.entries = [entry for entry in self.entries if entry.name not in names]

    def forget(self, users: Set[str]) -> None:
        """Remove the entries of users."""
        self.entries = [entry for entry in self.entries if entry.user not in users]


def _place(name: str) -> tuple[int, int]:
    moment, _, count = name.partition("-")
    return (int(moment), int(count)) if name else (0, 0)
