"""The store: what training publishes and serving reads, in Redis or Valkey.

`base` says what a store does; `redis` does it, `memory` fakes it for unit tests, and both pass one contract suite
(tests/contracts). `embedded` runs a Valkey of our own where no REDIS_URL is given; `connect` chooses.
"""

from recsys.store.from_environment import OpenStore, open_store
from recsys.store.memory.memory_store import MemoryStore
from recsys.store.ports import FlowStore, GenerationStore, UserState, UserStore
from recsys.store.redis.stores import RedisFlowStore, RedisGenerationStore, RedisUserStore

__all__ = [
    "FlowStore",
    "GenerationStore",
    "MemoryStore",
    "OpenStore",
    "RedisFlowStore",
    "RedisGenerationStore",
    "RedisUserStore",
    "UserState",
    "UserStore",
    "open_store",
]
