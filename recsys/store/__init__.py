"""The store in Redis or Valkey: trained models and tables, users, events and lists, for training and for the servers.

`from_environment` opens the Redis of REDIS_URL, or an embedded Valkey. `redis` has the classes that read and write the
store. `memory` has classes with the same methods for unit tests; both pass the contract tests in tests/contracts.
"""

from recsys.store.from_environment import OpenStore, open_store
from recsys.store.memory.memory_store import MemoryStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import UserState

__all__ = [
    "MemoryStore",
    "OpenStore",
    "RedisFlowStore",
    "RedisGenerationStore",
    "RedisUserStore",
    "UserState",
    "open_store",
]
