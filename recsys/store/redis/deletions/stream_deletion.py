"""Delete the events or impressions of given users from a Redis stream to the last byte, on a request to be forgotten.

The command XDEL marks an entry and leaves its bytes in place until all entries of its node are marked. Dumps, backups
and replicas would contain these bytes. So the other entries are copied, and the copy replaces the stream. A copy also
gives the impressions of a visitor to a login: Redis changes no entry in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from recsys.store.key_names import copy_key, lock_key
from recsys.store.redis.scripts import COPY_ENTRIES, LOCK_STREAM, MARK_ENTRIES, RELEASE

ENTRIES_AT_ONCE = 500
"""Entries that one script marks or copies; a script blocks the store. With entries of 5 KB a step of the copy took 2 ms
in the median of 240 and at most 34 ms."""

_LOCK_MS = 10_000
"""After this time a killed process no longer blocks the next deletion."""

_RETRY_SECONDS = 0.05


@dataclass
class _Changes:
    """What one round does. values: of entries to delete. keys: deleted with them. names: first values to replace."""

    values: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    names: dict[bytes, bytes] = field(default_factory=dict)


class StreamDeletion:
    """Deletes or renames users' entries of one stream, and deletes the bytes of all deleted entries.

    It belongs to one event loop.

    whole: whether an entry is deleted if its first value equals a given value, or if its first value begins with one.
    """

    def __init__(self, client: Any, stream: str, *, whole: bool) -> None:
        self._client = client
        self._stream = stream
        self._whole = whole
        self._changes = _Changes()
        self._next: asyncio.Task[None] | None = None
        self._rounds: set[asyncio.Task[None]] = set()
        self._one_round = asyncio.Lock()

    async def forget(self, values: Sequence[bytes], keys: Sequence[bytes] = ()) -> None:
        """Delete the entries with these values. Concurrent calls share a round, which outlives a cancelled caller.

        keys: deleted in one step with the last entry, so that a later event is in the keys and in the stream.
        StoreFull if there is no room for a copy: the entries are no longer readable, but their bytes remain.
        """
        await self._in_next_round(_Changes([*values], [*keys]))

    async def rename(self, names: Mapping[bytes, bytes]) -> None:
        """Replace the first values of entries by others. StoreFull if there is no room for a copy: nothing changed."""
        await self._in_next_round(_Changes(names={**names}))

    async def close(self) -> None:
        """Wait for all rounds that were begun."""
        await asyncio.gather(*self._rounds, return_exceptions=True)

    async def _in_next_round(self, changes: _Changes) -> None:
        if self._next is None or self._next.done():  # a round that is done here failed before it took its changes
            self._changes, self._next = _Changes(), asyncio.create_task(self._round())
            self._rounds.add(self._next)
            self._next.add_done_callback(self._rounds.discard)
        self._changes.values += changes.values
        self._changes.keys += changes.keys
        self._changes.names |= changes.names
        await asyncio.shield(self._next)

    async def _round(self) -> None:
        """Mark and copy, one round at a time: an older copy would bring back entries that were marked meanwhile."""
        changes: _Changes | None = None
        async with self._one_round:
            while True:
                async with self._locked() as token:
                    if changes is None:  # later calls belong to the next round
                        changes, self._next = self._changes, None
                    if await self._mark(token, changes) and (
                        not (changes.names or await self._has_marked()) or await self._copy(token, changes.names)
                    ):
                        return

    async def _mark(self, token: str, changes: _Changes) -> bool:
        """Whether all entries to delete are marked."""
        if not changes.values:
            return True
        locked: list[bytes | str] = [lock_key(self._stream), self._stream, *changes.keys]
        return await self._walk(MARK_ENTRIES, locked, token, "1" if self._whole else "", *changes.values)

    async def _copy(self, token: str, names: Mapping[bytes, bytes]) -> bool:
        """Whether a copy without the marked entries, and with the new names, replaced the stream."""
        keys = lock_key(self._stream), self._stream, copy_key(self._stream)
        return await self._walk(COPY_ENTRIES, keys, token, *(text for pair in names.items() for text in pair))

    async def _has_marked(self) -> bool:
        if not await self._client.xlen(self._stream):
            return False  # the last node was freed with the last entry
        info = await self._client.xinfo_stream(self._stream)
        return bool(info["max-deleted-entry-id"] != b"0-0")

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[str]:
        """Hold the lock of the stream among all processes; yields its token."""
        key, token = lock_key(self._stream), uuid4().hex
        while not await self._client.eval(LOCK_STREAM, 1, key, token, _LOCK_MS):
            await asyncio.sleep(_RETRY_SECONDS)
        try:
            yield token
        finally:
            await self._client.eval(RELEASE, 1, key, token)

    async def _walk(self, script: str, keys: Sequence[bytes | str], token: str, *more: bytes | str) -> bool:
        """Run a script step by step. False if the lock was lost, because the steps took too long."""
        after = "-"
        while True:
            steps = token, _LOCK_MS, after, ENTRIES_AT_ONCE
            outcome, *last = await self._client.eval(script, len(keys), *keys, *steps, *more)
            if outcome != b"more":
                return bool(outcome == b"done")
            after = "(" + last[0].decode()
