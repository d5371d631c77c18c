"""Delete the events or impressions of given users from a Redis stream to the last byte, on a request to be forgotten.

The command XDEL marks an entry and leaves its bytes in place until all entries of its node are marked. Dumps, backups
and replicas would contain these bytes. So the other entries are copied, and the copy replaces the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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


class StreamDeletion:
    """Deletes users' entries from one stream, and the bytes of all deleted entries. It belongs to one event loop.

    whole: whether an entry is deleted if its first value equals a given value, or if its first value begins with one.
    """

    def __init__(self, client: Any, stream: str, *, whole: bool) -> None:
        self._client = client
        self._stream = stream
        self._whole = whole
        self._values: list[bytes] = []
        self._keys: list[bytes] = []
        self._next: asyncio.Task[None] | None = None
        self._rounds: set[asyncio.Task[None]] = set()
        self._one_round = asyncio.Lock()

    async def forget(self, values: Sequence[bytes], keys: Sequence[bytes] = ()) -> None:
        """Delete the entries with these values. Concurrent calls share a round, which outlives a cancelled caller.

        keys: deleted in one step with the last entry, so that a later event is in the keys and in the stream.
        StoreFull if there is no room for a copy: the entries are no longer readable, but their bytes remain.
        """
        if self._next is None or self._next.done():  # a round that is done here failed before it took its values
            self._values, self._keys, self._next = [], [], asyncio.create_task(self._round())
            self._rounds.add(self._next)
            self._next.add_done_callback(self._rounds.discard)
        self._values += values
        self._keys += keys
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Wait for all rounds that were begun."""
        await asyncio.gather(*self._rounds, return_exceptions=True)

    async def _round(self) -> None:
        """Mark and copy, one round at a time: an older copy would bring back entries that were marked meanwhile."""
        values: list[bytes] = []
        keys: list[bytes] = []
        async with self._one_round:
            while True:
                async with self._locked() as token:
                    if not values:  # later calls belong to the next round
                        values, keys, self._values, self._keys, self._next = self._values, self._keys, [], [], None
                    locked: list[bytes | str] = [lock_key(self._stream), self._stream, *keys]
                    whole = "1" if self._whole else ""
                    marked = await self._walk(MARK_ENTRIES, locked, token, whole, *values)
                    if marked and (not await self._has_marked() or await self._copy(token)):
                        return

    async def _copy(self, token: str) -> bool:
        """Whether a copy without the marked entries replaced the stream."""
        return await self._walk(COPY_ENTRIES, (lock_key(self._stream), self._stream, copy_key(self._stream)), token)

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
