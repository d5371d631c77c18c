"""The names of keys; recsys/store/redis/stores.py tells what they hold."""

from __future__ import annotations

from recsys.generation.manifest import Manifest
from recsys.store.ports import CHUNK
from recsys.types import Id

GENERATIONS, PUBLISHING, FENCE, PROMOTED = "generations", "publishing", "fence", "promoted"
EVENT_LOG, IMPRESSIONS, TRENDING = "events", "impressions", "trending"


def manifest_key(generation: str) -> str:
    """The manifest."""
    return f"gen:{generation}:manifest"


def part_key(generation: str, name: str, chunk: int) -> str:
    """One chunk of a part."""
    return f"gen:{generation}:part:{name}:{chunk}"


def users_key(generation: str, bucket: int) -> str:
    """One hash of users' records."""
    return f"gen:{generation}:users:{bucket}"


def lists_key(generation: str, bucket: int) -> str:
    """One hash of users' lists."""
    return f"gen:{generation}:lists:{bucket}"


def cursor_key(generation: str) -> str:
    """How far `flows refresh` has read the log of events."""
    return f"gen:{generation}:cursor"


def counts_key(stream: str) -> str:
    """How many entries were added to a stream, and removed by its limits."""
    return f"{stream}:counts"


def alias_key(name: str) -> str:
    """The id an alias names."""
    return f"alias:{name}"


def events_key(user_id: Id) -> bytes:
    """A user's events since."""
    return b"user:" + text_of(user_id) + b":events"


def names_key(user_id: Id) -> bytes:
    """The ids of a user's newest events."""
    return b"user:" + text_of(user_id) + b":event_ids"


def forgetting_key(stream: str) -> str:
    """Who rewrites a stream."""
    return f"{stream}:forgetting"


def copy_key(stream: str) -> str:
    """What is to take a stream's place."""
    return f"{stream}:copy"


def text_of(user_id: Id) -> bytes:
    """A user's id as it stands in keys and fields."""
    return str(user_id).encode("utf-8", "surrogatepass")


def chunks_of(size: int) -> int:
    """How many chunks a part of `size` bytes has."""
    return -(-size // CHUNK)


def part_keys(generation: str, manifest: Manifest) -> dict[str, int]:
    """The bytes under every key of a generation's parts, in the manifest's order; users' parts are stored as hashes."""
    return {
        part_key(generation, name, n): min(CHUNK, part.bytes - n * CHUNK)
        for name, part in manifest.stored_parts.items()
        for n in range(chunks_of(part.bytes))
    }


def users_keys(generation: str, manifest: Manifest) -> list[str]:
    """Every hash of users."""
    return [users_key(generation, bucket) for bucket in range(manifest.user_buckets)]


def lists_keys(generation: str, manifest: Manifest) -> list[str]:
    """Every hash of lists."""
    return [lists_key(generation, bucket) for bucket in range(manifest.user_buckets)]
