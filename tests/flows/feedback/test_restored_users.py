"""After a restore `drain` deletes the users again who were deleted since the backup."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import redis

from flows.forgetting.restored_users import delete_restored_users
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore
from recsys.types import Event
from recsys.user_digest import digest_of
from tests.contracts.stores import finish_small, write_small
from tests.flows.feedback.test_drain import shown


def test_a_user_deleted_since_the_backup_is_deleted_again(own_valkey_url: str, tmp_path: Path) -> None:
    """The user is found by events, by a record and by an impression; others stay. A second run finds nothing.

    The store notes the deletion also of a user whom the backup lacks, for files and trainings. The notes of this store
    delete no user from another store.
    """
    client = redis.Redis.from_url(own_valkey_url)
    client.flushall()
    flows, generations = RedisFlowStore(own_valkey_url), RedisGenerationStore(own_valkey_url)
    write_small(generations, "g1")  # records of a and b
    finish_small(generations, "g1")

    async def act() -> None:
        users = RedisUserStore(own_valkey_url)
        await users.add_events([Event(user, "drama-1", time.time()) for user in ("by event", "stays")])
        await users.add_impressions([(user, shown(user).pack()) for user in ("by slate", "stays")])
        await users.close()

    async def delete(*names: str) -> None:
        users = RedisUserStore(own_valkey_url)
        for name in names:
            await users.forget_user(name)
        await users.close()

    def run() -> int:
        return delete_restored_users.fn(flows, generations, own_valkey_url, tmp_path)

    asyncio.run(act())
    assert run() == 0
    backup = {key: (client.dump(key), max(0, client.pttl(key))) for key in client.keys("*")}
    asyncio.run(delete("a", "by event", "by slate", "after the backup"))
    assert run() == 0
    client.flushall()
    for key, (dump, expiry) in backup.items():
        client.restore(key, expiry, dump)
    assert set(flows.active_users()) == {"by event", "stays"}

    assert run() == 3
    assert flows.active_users() == ["stays"]
    assert len(flows.read_impressions()) == len(flows.read_log()) == 1
    assert generations.read_records("g1", 1, ["a", "b"]) == [None, b"of b"]
    assert {user.digest for user in flows.read_deleted_users()} == {
        *map(digest_of, ("a", "by event", "by slate", "after the backup"))
    }
    assert run() == 0

    client.flushall()
    asyncio.run(act())
    assert run() == 0
    assert set(flows.active_users()) == {"by event", "stays"}
    for each in (flows, generations, client):
        each.close()
