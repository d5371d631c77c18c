"""The store in Redis or Valkey: trained models and tables, users, events and lists, for training and for the servers.

`ports` and the other `*_port` modules define its interfaces. `redis` implements them. `memory` implements them for unit
tests. Both pass the same contract tests (tests/contracts). `from_environment` opens the Redis of REDIS_URL, or an
embedded Valkey.
"""

from recsys.store.flow_interface import FlowStore
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.interfaces import GenerationStore, UserState, UserStore
from recsys.store.memory.memory_store import MemoryStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.user_store import RedisUserStore

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
