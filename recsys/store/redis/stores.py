"""Both ports over Redis or Valkey, by TCP, TLS or a unix socket: what stands under which key.

| key | type | holds |
|---|---|---|
| fence | string | counts the publishes begun; its value at a generation's beginning is that generation's fence |
| publishing | string | who publishes: fence, time of the claim, and the process as JSON; expires unless it is renewed |
| generations | zset | ids with a manifest, by fence (published before there were fences: 0) |
| promoted | string | the highest fence that was ever live: what goes live by itself lies above it |
| alias:{name} | string | the id an alias names |
| gen:{id}:manifest | string | the manifest |
| gen:{id}:part:{name}:{n} | string | the n-th CHUNK bytes of a part |
| gen:{id}:users:{bucket} | hash | users' packed records, by id as text; under "" how many were forgotten |
| gen:{id}:lists:{bucket} | hash | users' packed lists that a flow made, likewise; expires |
| gen:{id}:cursor | hash | how far `flows refresh` has read the events: entry, number |
| user:{user_id}:events | list | events since, oldest first: [user_id, item_id, timestamp, event_type, context?] |
| user:{user_id}:event_ids | zset | ids of the newest of them, by when they came; expires |
| events | stream | the newest events of all users: e the event, n its number, b the bytes of all events before it |
| trending | string | what a flow found to be trending, as JSON; expires |
| impressions | stream | slates that were shown and wait to be drained: u the user, d the packed impression, n, b |
| {stream}:counts | hash | entries added, their bytes, expired (by age), evicted (by bytes), reported (as lost) |
| {stream}:forgetting | string | who rewrites one of these two, since bytes of one who is forgotten are in it; expires |
| {stream}:copy | stream | what is to take its place (`redis_forget`); expires |

What is written under an id before its manifest goes after UNFINISHED_EXPIRE: a publish that was killed leaves nothing
for good. The manifest makes everything it names stay. What must happen in one step is Lua (`scripts`).

Commands are those Redis 7 and Valkey share. Redis Cluster is not supported: one switch touches keys of several slots.
"""

from __future__ import annotations

from recsys.store.redis.connection import address
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import ALIASES_CHANNEL, UNFINISHED_EXPIRE, RedisGenerationStore
from recsys.store.redis.user_store import RedisUserStore

__all__ = [
    "ALIASES_CHANNEL",
    "UNFINISHED_EXPIRE",
    "RedisFlowStore",
    "RedisGenerationStore",
    "RedisUserStore",
    "address",
]
