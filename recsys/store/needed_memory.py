"""How much room a generation takes in Redis, told from its manifest before a byte is written."""

from __future__ import annotations

from recsys.errors import StoreFull
from recsys.generation.manifest import USER_IDS, USER_RECORDS, Manifest
from recsys.store.ports import CHUNK, Space

KEY = 170
"""Bytes of a string's key, its expiry and its place in the table: 142 in Valkey 9.1, 182 in Redis 8.0."""

RECORD = 50
"""Bytes of a record's place in its hash beside id and record: 45 to 58 in Valkey 9.1, 48 in Redis 8.0."""

ROUNDING = 0.08
"""What an allocator adds to values of any size: jemalloc (Redis) .14 in the mean of records measured, libc (Valkey)
next to nothing."""

WORK = 2 << 20
"""Bytes a server needs while it is written to, for buffers and for Lua: 0.5 to 1.5 MB measured."""


def predict(manifest: Manifest) -> int:
    """Bytes of `used_memory` that a generation takes."""
    parts = sum(_part(part.bytes) for part in manifest.stored_parts.values())
    of_users = sum(
        manifest.parts[f"{table}.data.npy"].bytes
        for table in (USER_IDS, USER_RECORDS)
        if f"{table}.data.npy" in manifest.parts
    )
    records = round(of_users * (1 + ROUNDING)) + RECORD * manifest.dims["users"]
    return parts + records + KEY * manifest.user_buckets + KEY


def _part(size: int) -> int:
    whole, rest = divmod(size, CHUNK)
    return whole * ((1 << 20) + KEY) + (round(rest * (1 + ROUNDING)) + KEY if rest else 0)


def refuse_what_has_no_room(
    manifest: Manifest, there: int, others: int, budget: int | None, space: Space | None
) -> None:
    """StoreFull where a generation is over a budget or what the server has left.

    there: bytes of its own that are in the store already. others: bytes that other generations take.
    """
    takes = predict(manifest)
    if budget is not None and takes > budget - others:
        raise StoreFull(
            f"Generation {manifest.id} would take {told(takes)} in Redis; TANDEM_REDIS_BUDGET is {told(budget)}, and "
            f"other generations take {told(others)}. Raise it, or delete one: python -m flows delete ID."
        )
    if space is not None and takes - there + WORK > space.allowed - space.used:
        raise StoreFull(
            f"Generation {manifest.id} would take {told(max(0, takes - there) + WORK)} more in Redis, which has "
            f"{told(max(0, space.allowed - space.used))} left of its maxmemory of {told(space.allowed)}. "
            "Raise that, or delete a generation: python -m flows delete ID."
        )


def told(size: float) -> str:
    """Bytes as people say them."""
    return f"{size / 2**20:,.1f} MiB"
