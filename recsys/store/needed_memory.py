"""Predict the memory in Redis that a generation (one trained set of models and tables) needs, before it is uploaded.

A generation that exceeds the budget or the server's free memory is refused.
"""

from __future__ import annotations

from recsys.errors import StoreFull
from recsys.generation.manifest import USER_IDS, USER_RECORDS, Manifest
from recsys.store.stored_types import CHUNK

KEY = 170
"""Bytes of a string's key, its expiry and its slot in the key table: 142 in Valkey 9.1, 182 in Redis 8.0."""

RECORD = 50
"""Bytes of a record's hash entry beside id and record: 45 to 58 in Valkey 9.1, 48 in Redis 8.0."""

ROUNDING = 0.08
"""The share that an allocator adds to a value: jemalloc (Redis) adds 0.14 on average, libc (Valkey) hardly any."""

WORK = 2 << 20
"""Bytes that a server needs during writes for buffers and Lua; 0.5 to 1.5 MB were measured."""


def predict(manifest: Manifest) -> int:
    """Bytes of `used_memory` that a generation needs."""
    return parts_memory(manifest) + records_memory(manifest)


def parts_memory(manifest: Manifest) -> int:
    """The bytes of the models and of the tables of items, with the manifest."""
    return sum(_part_memory(part.bytes) for part in manifest.stored_parts.values()) + KEY


def records_memory(manifest: Manifest) -> int:
    """The bytes of the records of all users."""
    tables = [f"{table}.data.npy" for table in (USER_IDS, USER_RECORDS)]
    user_bytes = sum(manifest.parts[name].bytes for name in tables if name in manifest.parts)
    return entries_memory(user_bytes, manifest.dims["users"]) + KEY * manifest.user_buckets


def entries_memory(size: float, count: int) -> int:
    """The bytes of `count` entries of hashes. size: bytes of all ids and values."""
    return round(size * (1 + ROUNDING)) + RECORD * count


def _part_memory(size: int) -> int:
    chunks, rest = divmod(size, CHUNK)
    return chunks * ((1 << 20) + KEY) + (round(rest * (1 + ROUNDING)) + KEY if rest else 0)


def check_memory(
    manifest: Manifest, stored: int, others: int, budget: int | None, memory: tuple[int, int] | None
) -> None:
    """StoreFull if a generation does not fit into the budget or into the server's free memory.

    stored: bytes of the generation that are in the store already. others: bytes of the other generations. memory: bytes
    that the server uses and may use.
    """
    needed = predict(manifest)
    if budget is not None and needed > budget - others:
        raise StoreFull(
            f"Generation {manifest.id} would take {mebibytes(needed)} in Redis; TANDEM_REDIS_BUDGET is "
            f"{mebibytes(budget)}, and other generations take {mebibytes(others)}. Raise it, or delete one: "
            "python -m flows delete ID."
        )
    if memory is not None and needed - stored + WORK > memory[1] - memory[0]:
        raise StoreFull(
            f"Generation {manifest.id} would take {mebibytes(max(0, needed - stored) + WORK)} more in Redis, which has "
            f"{mebibytes(max(0, memory[1] - memory[0]))} left of its maxmemory of {mebibytes(memory[1])}. "
            "Raise that, or delete a generation: python -m flows delete ID."
        )


def mebibytes(size: float) -> str:
    """Bytes as text in MiB."""
    return f"{size / 2**20:,.1f} MiB"
