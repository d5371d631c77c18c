"""Delete a user from the records and lists of all generations: trained sets of models and tables with a record a user.

A user has one hash of records in each generation, which the user's id and the number of hashes name. So the number of
commands grows with generations alone, of which a store has a few. The manifest of a finished generation has the number
of hashes; the claim of a publisher stores it for a generation that is not finished yet.
"""

from __future__ import annotations

from typing import Any

from recsys.errors import GenerationError
from recsys.generation.manifest import Manifest
from recsys.store.key_names import (
    GENERATIONS,
    PUBLISHING,
    UNFINISHED,
    lists_key,
    manifest_key,
    text_of,
    tombstones_key,
    unfinished_generation,
    unfinished_member,
    users_key,
    variants_key,
)
from recsys.store.publisher_lock import ClaimOwner
from recsys.store.redis.connection import own_values
from recsys.store.redis.scripts import FORGET_RECORD
from recsys.store.stored_types import UNFINISHED_EXPIRE, user_bucket
from recsys.types import Id

Hashes = tuple[str, int]
"""A generation and the number of its hashes of records."""

_KEYS_PER_SCAN = 1_000


def forget_record(pipe: Any, generation: str, buckets: int, user: Id) -> None:
    """Delete a user's record with a pipeline. A publisher that has claimed the generation writes no other."""
    _forget_in(pipe, users_key(generation, user_bucket(user, buckets)), generation, buckets, user)


async def forget_user_in_generations(client: Any, user: Id) -> None:
    """Delete a user from the records and lists of all generations, finished or not."""
    stored = await _stored(client, user)
    async with client.pipeline(transaction=False) as pipe:
        for generation, buckets in stored:
            forget_record(pipe, generation, buckets, user)
        for generation, _ in stored:
            pipe.smembers(variants_key(generation))
        found = (await pipe.execute())[len(stored) :]
    # Lists after records, and also lists begun since: a flow writes a list only for a user with a record or events.
    async with client.pipeline(transaction=False) as pipe:
        for (generation, buckets), variants in zip(stored, found, strict=True):
            for variant in ("", *(name.decode() for name in variants)):
                pipe.hdel(lists_key(generation, user_bucket(user, buckets), variant), text_of(user))
        own_values(await pipe.execute(raise_on_error=False))


async def _stored(client: Any, user: Id) -> list[Hashes]:
    """The generations of the store.

    Unfinished ones are read first: one that is finished meanwhile is then among the finished ones too.
    """
    async with client.pipeline(transaction=False) as pipe:
        pipe.get(PUBLISHING)
        pipe.zrange(UNFINISHED, 0, -1)
        pipe.zrange(GENERATIONS, 0, -1)
        token, members, finished = await pipe.execute()
    unfinished = [unfinished_generation(member.decode()) for member in members]
    names = [name.decode() for name in finished]
    await _forget_in_old_claim(client, token, {*names, *(name for name, _ in unfinished)}, user)
    manifests = await client.mget([manifest_key(name) for name in names]) if names else []
    sizes = [(name, _buckets(text)) for name, text in zip(names, manifests, strict=True)]
    return list(dict.fromkeys([*unfinished, *((name, buckets) for name, buckets in sizes if buckets)]))


def _buckets(manifest: bytes | None) -> int:
    """The hashes of records of a finished generation; 0 without a readable manifest: no process reads its records."""
    try:
        return Manifest.from_json(manifest, any_format=True).user_buckets if manifest else 0
    except (GenerationError, KeyError):
        return 0


async def _forget_in_old_claim(client: Any, token: bytes | None, known: set[str], user: Id) -> None:
    """Delete a user's record from a generation that a publisher of the release before is writing.

    For one release, to be removed after it: such a claim has no number of hashes, so their names are read. After an
    update no more than the publish in progress is of that kind.
    """
    generation = ClaimOwner.of_token(token.decode()).generation if token else None
    if generation is None or generation in known:
        return
    hashes = [key async for key in client.scan_iter(users_key(generation, "*"), count=_KEYS_PER_SCAN)]
    async with client.pipeline(transaction=False) as pipe:
        for key in hashes:
            _forget_in(pipe, key, generation, 0, user)
        await pipe.execute()


def _forget_in(pipe: Any, hash_: bytes | str, generation: str, buckets: int, user: Id) -> None:
    keys = hash_, UNFINISHED, tombstones_key(generation)
    values = text_of(user), unfinished_member(generation, buckets), UNFINISHED_EXPIRE
    pipe.eval(FORGET_RECORD, len(keys), *keys, *values)
