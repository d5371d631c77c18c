"""Forgetting in a stream of Redis, to the last byte.

XDEL marks an entry and leaves its bytes in place until all entries of its node are marked: they would go into every
dump, backup and replica. So what is left of a stream is copied, and the copy takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from recsys.store.key_names import copy_key, forgetting_key
from recsys.store.redis.scripts import ALONE, COPY_ENTRIES, MARK, RELEASE

ENTRIES_AT_ONCE = 500
"""Entries of a stream that one script marks or copies: what else waits for the server waits for one of them. With 5 KB
each a step of the copy took 2 ms in the median of 240, at most 34 beside other work."""

_ALONE_MS = 10_000
"""How long one who was killed while rewriting a stream keeps others from it."""

_ASKED_AGAIN = 0.05


class StreamForgetter:
    """Removes entries from one stream, and the bytes of all that were removed before; it belongs to one event loop.

    whole: whether what tells an entry to remove is all of its first value, or only the beginning of it.
    """

    def __init__(self, client: Any, stream: str, *, whole: bool) -> None:
        self._client = client
        self._stream = stream
        self._whole = whole
        self._theirs: list[bytes] = []
        self._keys: list[bytes] = []
        self._next: asyncio.Task[None] | None = None
        self._rounds: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()

    async def forget(self, theirs: Sequence[bytes], keys: Sequence[bytes] = ()) -> None:
        """Remove theirs: in one round with all who wait, which goes on where a caller no longer does.

        keys: what goes in one step with the last entry, so that what comes after that is in both.
        StoreFull's sentence where there is no room for a copy: nobody reads the entries any more, their bytes are left.
        """
        if self._next is None or self._next.done():  # one that is done failed before its turn came
            self._theirs, self._keys, self._next = [], [], asyncio.create_task(self._round())
            self._rounds.add(self._next)
            self._next.add_done_callback(self._rounds.discard)
        self._theirs += theirs
        self._keys += keys
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Wait until what was begun is done."""
        await asyncio.gather(*self._rounds, return_exceptions=True)

    async def _round(self) -> None:
        """One at a time: a copy begun before another's entries went would bring them back. What comes stays."""
        theirs: list[bytes] = []
        keys: list[bytes] = []
        async with self._one:
            while True:
                async with _alone(self._client, self._stream) as token:
                    if not theirs:  # who comes from here on is one of the next round
                        theirs, keys, self._theirs, self._keys, self._next = self._theirs, self._keys, [], [], None
                    if await self._mark(token, theirs, keys) and await self._clean(token):
                        return

    async def _mark(self, token: str, theirs: Sequence[bytes], beside: Sequence[bytes]) -> bool:
        """Whether all of theirs are marked; on the server, since a stream is too much to carry through a gateway."""
        keys: list[bytes | str] = [forgetting_key(self._stream), self._stream, *beside]
        return await _walk(self._client, MARK, keys, token, "1" if self._whole else "", *theirs)

    async def _clean(self, token: str) -> bool:
        """Whether no marked bytes are left, or a copy without them took the stream's place."""
        return not await _has_marked(self._client, self._stream) or await _rewrite(self._client, self._stream, token)


@asynccontextmanager
async def _alone(client: Any, stream: str) -> AsyncIterator[str]:
    key, token = forgetting_key(stream), uuid4().hex
    while not await client.eval(ALONE, 1, key, token, _ALONE_MS):
        await asyncio.sleep(_ASKED_AGAIN)
    try:
        yield token
    finally:
        await client.eval(RELEASE, 1, key, token)


async def _has_marked(client: Any, stream: str) -> bool:
    if not await client.xlen(stream):
        return False  # its last node went with its last entry
    told = await client.xinfo_stream(stream)
    return bool(told["max-deleted-entry-id"] != b"0-0")


async def _rewrite(client: Any, stream: str, token: str) -> bool:
    """Whether the copy took the stream's place."""
    return await _walk(client, COPY_ENTRIES, (forgetting_key(stream), stream, copy_key(stream)), token)


async def _walk(client: Any, script: str, keys: Sequence[bytes | str], token: str, *more: bytes | str) -> bool:
    """Whether a script came to a stream's end; not where another has begun, since this one took too long."""
    after = "-"
    while True:
        said, *last = await client.eval(script, len(keys), *keys, token, _ALONE_MS, after, ENTRIES_AT_ONCE, *more)
        if said != b"more":
            return bool(said == b"done")
        after = "(" + last[0].decode()
