"""Delete users from the store again after a restore: a backup brings back users who were deleted after it was made.

The store notes the digest of each deleted user's id. Each run of `drain` copies these notes into a file, with the id of
the store. A note that the file has and the same store lacks was lost by a restore, or by a failover.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.orchestration import store_step
from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import Manifest
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import IMPRESSION_LIMITS
from recsys.user_digest import digest_of
from training.read.locations import Location, reaching

NOTES = "deleted-users.json"
"""The copy of the notes, in the folder of all state: `store` is the id of the store, and `deleted` holds when each user
was deleted, unix seconds, by the digest."""

EXPIRING_SECONDS = 3_600.0
"""Notes that expire within this time are not missed: another run may have removed them."""

logger = logging.getLogger("tandem")


@store_step
def delete_restored_users(store: RedisFlowStore, generations: RedisGenerationStore, url: str, home: Path) -> int:
    """Delete the users whose deletion the store has lost; return their number.

    url: of the store. Lost deletions count from now, so that files and trainings lose what the store had brought back.
    """
    path, oldest, own = home / NOTES, store.now() - IMPRESSION_LIMITS.seconds + EXPIRING_SECONDS, store.read_id()
    lost = {digest for digest, at in _read(path, own).items() if at > oldest} - _noted(store).keys()
    users: set[str] = set()
    if lost:
        users = {user for user in _stored_users(store, generations) if digest_of(user).hex() in lost}
        store.note_deleted(map(bytes.fromhex, lost - {digest_of(user).hex() for user in users}))
    if users:
        asyncio.run(_forget(url, sorted(users)))
        logger.warning("%d deleted users were in the store again, as after a restore: deleted again.", len(users))
    with reaching(Location(str(path)), "written"):
        home.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps({"store": own, "deleted": _noted(store)}), encoding="utf-8")
    return len(users)


def _noted(store: RedisFlowStore) -> dict[str, float]:
    """When each user was deleted, by the digest. A merged visitor lives on in the login."""
    return {user.digest.hex(): user.at for user in store.read_deleted_users() if not user.merged}


def _read(path: Path, store: str) -> dict[str, float]:
    """The notes of a store; none if the file is of another store, whose users may live here, or can't be read."""
    try:
        copy = json.loads(path.read_text(encoding="utf-8"))
        if copy["store"] == store:
            return {str(digest): float(at) for digest, at in copy["deleted"].items()}
        logger.warning("%s is of another store: no user was deleted again from this store.", path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        logger.warning("%s can't be read and is written anew: no user was deleted again from the store.", path)
    return {}


def _stored_users(store: RedisFlowStore, generations: RedisGenerationStore) -> Iterator[str]:
    """The users with events, with a record of a generation, or in the impressions."""
    yield from store.active_users()
    for name in generations.generations():
        if (text := generations.read_manifest(name)) is not None:
            for bucket in range(Manifest.from_json(text, any_format=True).user_buckets):
                yield from store.read_user_ids(name, bucket)
    after = ""
    while shown := store.read_impressions(after):
        after = shown[-1].entry
        yield from (each.user for each in shown)


async def _forget(url: str, users: Sequence[str]) -> None:
    store = RedisUserStore(url)
    try:
        for user in users:
            await store.forget_user(user)
    finally:
        await store.close()
