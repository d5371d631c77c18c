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

from recsys.store.keys import copy_key, forgetting_key
from recsys.store.scripts import ALONE, COPY_ENTRIES, MARK, RELEASE

ENTRIES_AT_ONCE = 500
"""Entries of a stream that one script marks or copies: what else waits for the server waits for one of them. With 5 KB
each a step of the copy took 2 ms in the median of 240, at most 34 beside other work."""

_ALONE_MS = 10_000
"""How long one who was killed while rewriting a stream keeps others from it."""

_ASKED_AGAIN = 0.05


async def forget_entries(client: Any, stream: str, theirs: Sequence[bytes], *, whole: bool) -> None:
    """Remove entries from a stream, and the bytes of all that were removed before.

    theirs: what the first value of an entry to remove is, whole or in its beginning.
    One at a time: a copy begun before another's entries went would bring them back. Entries that come meanwhile stay.
    StoreFull's sentence where there is no room for a copy: nobody reads the entries any more, their bytes are left.
    """
    while True:
        async with _alone(client, stream) as token:
            if await _mark(client, stream, token, theirs, whole) and (
                not await _has_marked(client, stream) or await _rewrite(client, stream, token)
            ):
                return


@asynccontextmanager
async def _alone(client: Any, stream: str) -> AsyncIterator[str]:
    key, token = forgetting_key(stream), uuid4().hex
    while not await client.eval(ALONE, 1, key, token, _ALONE_MS):
        await asyncio.sleep(_ASKED_AGAIN)
    try:
        yield token
    finally:
        await client.eval(RELEASE, 1, key, token)


async def _mark(client: Any, stream: str, token: str, theirs: Sequence[bytes], whole: bool) -> bool:
    """Whether all of theirs are marked; on the server, since a stream is too much to carry through a gateway."""
    return await _walk(client, MARK, (forgetting_key(stream), stream), token, "1" if whole else "", *theirs)


async def _has_marked(client: Any, stream: str) -> bool:
    if not await client.xlen(stream):
        return False  # its last node went with its last entry
    told = await client.xinfo_stream(stream)
    return bool(told["max-deleted-entry-id"] != b"0-0")


async def _rewrite(client: Any, stream: str, token: str) -> bool:
    """Whether the copy took the stream's place."""
    return await _walk(client, COPY_ENTRIES, (forgetting_key(stream), stream, copy_key(stream)), token)


async def _walk(client: Any, script: str, keys: tuple[str, ...], token: str, *more: bytes | str) -> bool:
    """Whether a script came to a stream's end; not where another has begun, since this one took too long."""
    after = "-"
    while True:
        said, *last = await client.eval(script, len(keys), *keys, token, _ALONE_MS, after, ENTRIES_AT_ONCE, *more)
        if said != b"more":
            return bool(said == b"done")
        after = "(" + last[0].decode()
