"""The names of the keys in Redis, and the data under each key.

A generation is one trained set of models and tables. A slate is the ordered list of recommended items in an answer. An
impression is a slate that a user was shown.

| key | type | holds |
|---|---|---|
| fence | string | the number of publishes begun; its value at the begin of a publish is the fence of that generation |
| publishing | string | the publisher: fence, time of the claim, process as JSON; expires unless it is renewed |
| generations | zset | the ids of generations with a manifest, by fence |
| generations:unfinished | zset | `buckets:id` of generations without a manifest, by the time of their claim; expires |
| promoted | string | the highest fence that was ever live; a generation goes live by itself only above it |
| alias:{name} | string | the id that the alias names |
| gen:{id}:manifest | string | the manifest |
| gen:{id}:part:{name}:{n} | string | bytes n * CHUNK to (n + 1) * CHUNK of a part |
| gen:{id}:users:{bucket} | hash | users' packed records, by id as text; under "" the number of deleted users |
| gen:{id}:lists:{bucket} | hash | users' packed lists, in the same form; expires |
| gen:{id}:similar:{n} | hash | packed lists of similar items, by the item's row as text; expires |
| gen:{id}:forgotten | hash | users deleted since the claim: the SHA-1 of the id, 1 if `users` counts it; expires |
| gen:{id}:cursor | hash | the last event that `flows refresh` has read: entry, number |
| user:{user_id}:events | list | events, oldest first: [user_id, item_id, timestamp, event_type, context?] |
| user:{user_id}:event_ids | zset | the ids of the newest events, by the time of their arrival; expires |
| events | stream | the newest events of all users: e the event, i its id, s its dataset, n its number, b bytes before |
| events:minute:{n} | hash | the events of a minute since 1970 by item, as text; under "" all of them; expires |
| events:hour:{n} | hash | the same of an hour |
| events:collected | hash | how far `flows drain` has copied the log (`redis/event_collection`) |
| gen:{id}:lists:{variant}:{bucket} | hash | the same, for an arm of an experiment with other rules or candidates |
| gen:{id}:variants | set | the variants of which lists were written; expires |
| trending | string | the trending items as JSON; expires |
| impressions | stream | impressions until `flows drain` exports them: u the user, d the impression, n and b as above |
| experiments | string | the experiments as JSON (`recsys.experiments.document`) |
| experiments:version | string | the number of changes of `experiments` |
| experiments:generations | set | the ids of generations that arms of experiments need |
| experiments:looks | string | what the monitor read from gateways in the last minutes, as JSON; expires |
| experiments:halt:{experiment}:{arm} | string | the reason why a gateway halted an arm; expires |
| runs:{flow} | hash | the newest records of the runs of a flow (`recsys.store.run_record`), by the run's id, as JSON |
| impressions:deleted | stream | users deleted in the last 31 days: u the digest of the id, m if merged |
| {stream}:counts | hash | entries added, their bytes, expired (by age), evicted (by bytes), reported (as lost) |
| {stream}:call:{random} | string | the reply to a call that wrote to the stream, which redis-py may repeat; expires |
| {stream}:forgetting | string | the lock of a rewrite that removes deleted users from the stream; expires |
| {stream}:copy | stream | the copy that will replace the stream (`stream_deletion`); expires |

`redis/item_store` lists the keys of items, `redis/redis_registry` those of processes. Keys of an unfinished generation
expire after UNFINISHED_EXPIRE; its manifest makes them permanent. Redis Cluster is not supported (docs/deploy.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from recsys.generation.manifest import Manifest
from recsys.store.stored_types import CHUNK, ITEMS_OF_HASH
from recsys.types import Id

GENERATIONS, PUBLISHING, FENCE, PROMOTED = "generations", "publishing", "fence", "promoted"
EXPERIMENTS, EXPERIMENTS_VERSION, NEEDED = "experiments", "experiments:version", "experiments:generations"
LOOKS = "experiments:looks"
UNFINISHED = "generations:unfinished"
EVENT_LOG, IMPRESSIONS, TRENDING = "events", "impressions", "trending"
DELETED_USERS = "impressions:deleted"
STORE_ID = "impressions:store"
COLLECTED = "events:collected"


def manifest_key(generation: str) -> str:
    return f"gen:{generation}:manifest"


def part_key(generation: str, name: str, chunk: int) -> str:
    return f"gen:{generation}:part:{name}:{chunk}"


def users_key(generation: str, bucket: int | str) -> str:
    return f"gen:{generation}:users:{bucket}"


def lists_key(generation: str, bucket: int, variant: str = "") -> str:
    """The hash of lists of all users, or of the users of an arm whose lists differ: its variant."""
    return f"gen:{generation}:lists:{variant}:{bucket}" if variant else f"gen:{generation}:lists:{bucket}"


def variants_key(generation: str) -> str:
    return f"gen:{generation}:variants"


def halt_key(experiment: str, arm: str) -> str:
    return f"experiments:halt:{experiment}:{arm}"


def runs_key(flow: str) -> str:
    return f"runs:{flow}"


def similar_key(generation: str, row: int) -> str:
    """The hash that holds the list of the item at a row."""
    return f"gen:{generation}:similar:{row // ITEMS_OF_HASH}"


def tombstones_key(generation: str) -> str:
    return f"gen:{generation}:forgotten"


def unfinished_member(generation: str, buckets: int) -> str:
    """A generation with so many hashes of users, as a member of UNFINISHED."""
    return f"{buckets}:{generation}"


def unfinished_generation(member: str) -> tuple[str, int]:
    """The generation and the number of its hashes of users; inverse of `unfinished_member`."""
    buckets, _, generation = member.partition(":")
    return generation, int(buckets)


def cursor_key(generation: str) -> str:
    return f"gen:{generation}:cursor"


def counts_key(stream: str) -> str:
    return f"{stream}:counts"


def minute_key(minute: int) -> str:
    """The counts of a minute since 1970."""
    return f"events:minute:{minute}"


def hour_key(hour: int) -> str:
    """The counts of an hour since 1970."""
    return f"events:hour:{hour}"


def call_key(stream: str) -> str:
    """The key of one call that writes to a stream."""
    return f"{stream}:call:{uuid4().hex}"


def lock_key(stream: str) -> str:
    return f"{stream}:forgetting"


def copy_key(stream: str) -> str:
    return f"{stream}:copy"


def alias_key(name: str) -> str:
    return f"alias:{name}"


def events_key(user_id: Id) -> bytes:
    return b"user:" + text_of(user_id) + b":events"


def event_ids_key(user_id: Id) -> bytes:
    return b"user:" + text_of(user_id) + b":event_ids"


def text_of(user_id: Id) -> bytes:
    """A user's id in keys and fields."""
    return str(user_id).encode("utf-8", "surrogatepass")


def chunks_of(size: int) -> int:
    """The number of chunks of a part of `size` bytes."""
    return -(-size // CHUNK)


def part_keys(generation: str, manifest: Manifest) -> dict[str, int]:
    """The bytes under each key of a generation's parts, in the manifest's order. Users' parts are hashes instead."""
    return {
        part_key(generation, name, n): min(CHUNK, part.bytes - n * CHUNK)
        for name, part in manifest.stored_parts.items()
        for n in range(chunks_of(part.bytes))
    }


def generation_keys(generation: str, manifest: Manifest) -> list[str]:
    """The keys of a generation's parts, then the hashes of users' records."""
    users = [users_key(generation, bucket) for bucket in range(manifest.user_buckets)]
    return [*part_keys(generation, manifest), *users]


def list_keys(generation: str, manifest: Manifest, variants: Iterable[str] = ()) -> list[str]:
    """The keys of the lists that flows make for a generation: those of users, by variant, then those of items."""
    buckets = range(manifest.user_buckets)
    users = [lists_key(generation, bucket, variant) for variant in ("", *variants) for bucket in buckets]
    items = [similar_key(generation, row) for row in range(0, manifest.dims.get("items", 0), ITEMS_OF_HASH)]
    return users + items
