"""The Redis store for generations (trained sets of models and tables), with the aliases `live` and `previous`.

The servers answer from the generation that `live` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import redis

from recsys.errors import StoreError
from recsys.generation.manifest import Manifest
from recsys.store import refusals
from recsys.store.key_names import (
    FENCE,
    GENERATIONS,
    NEEDED,
    PROMOTED,
    PUBLISHING,
    UNFINISHED,
    alias_key,
    chunks_of,
    cursor_key,
    generation_keys,
    list_keys,
    manifest_key,
    part_key,
    part_keys,
    text_of,
    tombstones_key,
    unfinished_member,
    users_key,
    variants_key,
)
from recsys.store.publisher_lock import ClaimOwner
from recsys.store.redis import scripts
from recsys.store.redis.connection import copy_free_serializer, retry_once, sync_client, translated_errors
from recsys.store.redis.store_address import address
from recsys.store.stored_types import (
    CHUNK,
    LEASE,
    LIVE,
    PREVIOUS,
    UNFINISHED_EXPIRE,
    AliasMove,
    Claim,
    StoredSizes,
    users_by_bucket,
)

ALIASES_CHANNEL = "aliases"
"""The channel on which a moved alias is announced, as "alias id". Messages can get lost: poll the alias as well."""

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 5.0

_RECORDS_AT_ONCE = 2_000
"""Records in one pipeline, some 4 MB."""

_CHUNKS_AT_ONCE = 4
"""Chunks in one read or write: a fifth faster than one by one, and other commands wait under a millisecond."""

_READ_BYTES = 1 << 20
"""Bytes of one read from the socket. redis-py's default of 64 KiB takes 16 reads for each chunk."""


class RedisGenerationStore:
    """Whole generations, and the aliases that name them. Every call raises StoreUnavailable without a store.

    A call with a claim that is no longer held changes nothing, and raises StalePublisher.
    """

    def __init__(self, url: str) -> None:
        self.address = address(url)
        options = {"socket_read_size": _READ_BYTES, "retry": retry_once(), "command_packer": copy_free_serializer()}
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS, **options)

    def ping(self) -> None:
        """Return if the store answers."""
        with translated_errors(self.address):
            self._redis.ping()

    def claim(self, generation: str, buckets: int, lease: float = LEASE) -> Claim:
        """Become the only publisher for `lease` seconds and take the next fence; PublisherBusy names another one.

        buckets: hashes of users that the generation will have. A deletion of a user reaches them from now on.
        """
        owner = ClaimOwner.current(generation)
        keys = PUBLISHING, FENCE, GENERATIONS, PROMOTED, UNFINISHED, tombstones_key(generation)
        values, more = (owner.to_json(), int(1000 * lease)), (unfinished_member(generation, buckets), UNFINISHED_EXPIRE)
        outcome, token, now = self._run(scripts.CLAIM, keys, *values, "-", *more)
        if outcome == b"held" and ClaimOwner.of_token(token.decode()).yields_to(owner):
            outcome, token, now = self._run(scripts.CLAIM, keys, *values, token, *more)
        if outcome == b"held":
            raise refusals.publisher_busy(token.decode(), int(now))
        text = token.decode()
        return Claim(text, generation, int(text.split(" ", 1)[0]))

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        """Keep a claim for `lease` seconds from now."""
        self._run_claimed(scripts.RENEW, [PUBLISHING], claim, int(1000 * lease))

    def release(self, claim: Claim) -> None:
        """Give up a claim, if it is still held."""
        self._run(scripts.RELEASE, [PUBLISHING], claim.token)

    def stored_sizes(self, manifest: Manifest, claim: Claim) -> StoredSizes:
        """Return what is stored of an unfinished generation, and start its expiry anew."""
        keys = [PUBLISHING, manifest_key(claim.generation), *generation_keys(claim.generation, manifest)]
        number = len(part_keys(claim.generation, manifest))
        _, sizes = self._run_claimed(scripts.STORED_SIZES, keys, claim, UNFINISHED_EXPIRE, number)
        rest = iter(sizes)
        chunks = {name: list(islice(rest, chunks_of(part.bytes))) for name, part in manifest.stored_parts.items()}
        return StoredSizes(chunks, list(rest))

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        """Write a part, or its bytes from chunk `first` on. With a claim, stored chunks are not overwritten."""
        view = memoryview(data)
        with translated_errors(self.address):
            # NX: a publisher that lost its claim during a pause does not overwrite what others wrote meanwhile.
            unfinished = claim or not self._redis.exists(manifest_key(generation))
            options: dict[str, Any] = {"ex": UNFINISHED_EXPIRE if unfinished else None, "nx": bool(claim)}
            chunks = enumerate(range(0, len(view), CHUNK), first)
            while some := list(islice(chunks, _CHUNKS_AT_ONCE)):
                with self._redis.pipeline(transaction=False) as pipe:
                    for n, at in some:
                        pipe.set(part_key(generation, name, n), view[at : at + CHUNK], **options)
                    pipe.execute()

    def overwrite_chunk(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        """Replace one chunk of a part."""
        keys = [PUBLISHING, manifest_key(claim.generation), part_key(claim.generation, name, chunk)]
        self._run_claimed(scripts.OVERWRITE_CHUNK, keys, claim, UNFINISHED_EXPIRE, data)

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        """Yield `count` chunks of a part of `size` bytes from `first` on, by default all. A missing one is an error."""
        last = chunks_of(size) if count is None else min(first + count, chunks_of(size))
        for start in range(first, last, _CHUNKS_AT_ONCE):
            some = range(start, min(start + _CHUNKS_AT_ONCE, last))
            with translated_errors(self.address):
                chunks: Any = self._redis.mget([part_key(generation, name, n) for n in some])
            for n, chunk in zip(some, chunks, strict=True):
                if chunk is None or len(chunk) != min(CHUNK, size - n * CHUNK):
                    raise refusals.chunk_missing(generation, name, n)
                yield chunk

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        """Write users' packed records, spread over `buckets` hashes. Stored records are overwritten.

        Users who were deleted since the claim are left out, and count as stored.
        """
        token, tombstones = claim.token if claim else "", tombstones_key(generation)
        rest = iter(records)
        while some := list(islice(rest, _RECORDS_AT_ONCE)):
            with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
                for bucket, users in users_by_bucket(some, buckets).items():
                    keys = PUBLISHING, manifest_key(generation), users_key(generation, bucket), tombstones
                    pairs = [value for user in users for value in (text_of(user), records[user])]
                    pipe.eval(scripts.WRITE_RECORDS, len(keys), *keys, token, UNFINISHED_EXPIRE, *pairs)
                for outcome in pipe.execute():
                    _check_claim(outcome)

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        """Return users' packed records, None for a user without a record."""
        hashes = users_by_bucket(users, buckets)
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for bucket, members in hashes.items():
                pipe.hmget(users_key(generation, bucket), [text_of(user) for user in members])
            found = [record for records in pipe.execute() for record in records]
        records = dict(zip((user for members in hashes.values() for user in members), found, strict=True))
        return [records[user] for user in users]

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        """Finish a generation: it can be promoted then. With a claim, a missing chunk or record is an error."""
        parsed = Manifest.from_json(manifest)
        keys = [PUBLISHING, manifest_key(generation), GENERATIONS, FENCE, PROMOTED, UNFINISHED]
        keys += [tombstones_key(generation), *generation_keys(generation, parsed)]
        sizes = part_keys(generation, parsed).values()
        member = unfinished_member(generation, parsed.user_buckets)
        values = [generation, manifest, claim.fence if claim else 0, parsed.users_left, member, *sizes]
        outcome = self._run_claimed(scripts.WRITE_MANIFEST, keys, claim, *values)
        if outcome[0] == b"missing":
            raise refusals.incomplete(generation, outcome[1].decode())

    def read_manifest(self, generation: str) -> bytes | None:
        """Return the manifest, None if there is none."""
        return self.read_manifests([generation])[0]

    def read_manifests(self, generations: Sequence[str]) -> list[bytes | None]:
        """Return the manifests in one round trip, None for each that is missing."""
        if not generations:
            return []
        with translated_errors(self.address):
            manifests: Any = self._redis.mget([manifest_key(generation) for generation in generations])
        return list(manifests)

    def generations(self) -> list[str]:
        """Return the ids of all generations with a manifest, the lowest fence first."""
        with translated_errors(self.address):
            ids: Any = self._redis.zrange(GENERATIONS, 0, -1)
        return [generation.decode() for generation in ids]

    def delete(self, generation: str) -> None:
        """Delete a generation in one step; GenerationError if an alias names it or an experiment needs it."""
        text = self.read_manifest(generation)
        keys = [manifest_key(generation), GENERATIONS, alias_key(LIVE), alias_key(PREVIOUS), NEEDED]
        keys += [cursor_key(generation), variants_key(generation)]
        if text is not None:
            manifest = Manifest.from_json(text, any_format=True)
            keys += generation_keys(generation, manifest)
            keys += list_keys(generation, manifest, self._members(variants_key(generation)))
        outcome = self._run(scripts.DELETE, keys, generation)[0]
        if outcome == b"aliased":
            raise refusals.aliased(generation)
        if outcome == b"needed":
            raise refusals.needed(generation)

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        """Delete an unfinished generation."""
        keys = [PUBLISHING, manifest_key(claim.generation), UNFINISHED, tombstones_key(claim.generation)]
        keys += generation_keys(claim.generation, manifest)
        self._run_claimed(scripts.DISCARD, keys, claim, unfinished_member(claim.generation, manifest.user_buckets))

    def promote(self, generation: str, *, forward: bool = False, expected: str = "") -> AliasMove:
        """Move `live` to a generation, and `previous` to what was live; GenerationError without a manifest.

        forward: raise StalePublisher if this or a later generation was live before. expected: raise StalePublisher if
        another generation is live.
        """
        keys = GENERATIONS, alias_key(LIVE), alias_key(PREVIOUS), PROMOTED, manifest_key(generation)
        reply = self._run(scripts.MOVE_LIVE, keys, generation, int(forward), ALIASES_CHANNEL, expected)
        outcome, *ids = (None if value is None else value.decode() for value in reply)
        if outcome == "absent":
            raise refusals.not_stored(generation)
        if outcome == "stale":
            raise refusals.outdated(generation, ids[0])
        if outcome == "changed":
            raise refusals.alias_moved(ids[0])
        was, live, previous = ids
        return AliasMove(was, str(live), previous)

    def rollback(self) -> AliasMove:
        """Swap `live` and `previous`; GenerationError if there is no previous generation."""
        live, previous = self.aliases()
        if live is None or previous is None:
            raise refusals.no_previous()
        # With the expected live id: redis-py may send the command twice, and a second rollback would undo the first.
        return self.promote(previous, expected=live)

    def alias(self, name: str) -> str | None:
        """Return the generation that an alias names."""
        return self.aliases([name])[0]

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        """Return the generations that aliases name, read at one moment."""
        with translated_errors(self.address):
            ids: Any = self._redis.mget([alias_key(name) for name in names])
        return tuple(None if generation is None else generation.decode() for generation in ids)

    def needed(self) -> set[str]:
        """Return the generations that experiments need."""
        return self._members(NEEDED)

    def memory_use(self) -> tuple[int, int] | None:
        """Return used and allowed bytes, None if the store has no limit or does not report it."""
        try:
            with translated_errors(self.address):
                memory: Any = self._redis.info("memory")
        except StoreError as error:
            if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
                return None
            raise
        return (memory["used_memory"], memory["maxmemory"]) if memory.get("maxmemory") else None

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _members(self, key: str) -> set[str]:
        with translated_errors(self.address):
            members: Any = self._redis.smembers(key)
        return {member.decode() for member in members}

    def _run_claimed(self, script: str, keys: Sequence[str], claim: Claim | None, *values: Any) -> list[Any]:
        """Run a script whose first value is the token of a claim."""
        return _check_claim(self._run(script, keys, claim.token if claim else "", *values))

    def _run(self, script: str, keys: Sequence[str], *values: Any) -> list[Any]:
        with translated_errors(self.address):
            reply: Any = self._redis.eval(script, len(keys), *keys, *values)
        return list(reply)


def _check_claim(outcome: list[Any]) -> list[Any]:
    """The outcome of a script that takes a token; StalePublisher if the token is no longer stored."""
    if outcome[0] == b"stale":
        raise refusals.claim_lost()
    return outcome
