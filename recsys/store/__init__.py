"""The store in Redis or Valkey: trained models and tables, users, events and lists, for training and for the servers.

`from_environment` opens the Redis of REDIS_URL, or an embedded Valkey. `redis` has the classes that read and write the
store; the tests in tests/contracts state what they do, on Redis and on Valkey.
"""

from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import UserState

__all__ = [
    "OpenStore",
    "RedisFlowStore",
    "RedisGenerationStore",
    "RedisUserStore",
    "UserState",
    "open_store",
]
