"""The port of generations over Redis. Knows nothing of what the bytes mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer
from redis.retry import Retry

from recsys.errors import StoreError
from recsys.generation.manifest import Manifest
from recsys.store import refusals
from recsys.store.key_names import (
    FENCE,
    GENERATIONS,
    PROMOTED,
    PUBLISHING,
    alias_key,
    chunks_of,
    cursor_key,
    lists_keys,
    manifest_key,
    part_key,
    part_keys,
    text_of,
    users_key,
    users_keys,
)
from recsys.store.ports import CHUNK, LEASE, LIVE, PREVIOUS, Claim, Moved, Space, Stored, user_bucket
from recsys.store.publisher_lock import Owner
from recsys.store.redis import scripts
from recsys.store.redis.connection import address, sentences, watched

ALIASES_CHANNEL = "aliases"
"""Where a moved alias is announced, as "alias id". Messages can get lost: poll the alias as well."""

UNFINISHED_EXPIRE = 86_400
"""Seconds that what has no manifest is kept: longer than any publish, shorter than anyone waits to clean up."""

_CONNECT_SECONDS, _COMMAND_SECONDS = 2.0, 5.0

_RECORDS_AT_ONCE = 2_000
"""Records in one pipeline, some 4 MB: a publish of millions of users holds little in memory."""

_CHUNKS_AT_ONCE = 4
"""Chunks read or written in one go: a fifth faster than one by one, and others wait under a millisecond."""

_READ_BYTES = 1 << 20
"""Taken from the socket at once; redis-py's 64 KiB are 16 turns of its loop for each chunk."""


class RedisGenerationStore:
    """Generations in Redis, one command at a time; SettingsError if `url` is none."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._url = url
        self._redis = self._connect()
        # The hiredis packer copies a chunk twice before it is sent, this one never.
        self._bulk = self._connect(command_packer=PythonRespSerializer(6_000, _encoded))

    def _connect(self, **options: Any) -> redis.Redis:
        # A dropped connection is tried once more at once (the server was restarted); a timeout is not, or it doubles.
        return redis.Redis.from_url(
            self._url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_COMMAND_SECONDS,
            **watched(self._url),
            socket_read_size=_READ_BYTES,
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            **options,
        )

    def ping(self) -> None:
        with sentences(self.address):
            self._redis.ping()

    def claim(self, generation: str, lease: float = LEASE) -> Claim:
        outcome, token, now = self._claim(generation, lease, "-")
        if outcome == b"held" and refusals.owner_of(token.decode()).makes_way(Owner.here(generation)):
            outcome, token, now = self._claim(generation, lease, token)
        if outcome == b"held":
            raise refusals.busy(token.decode(), int(now))
        text = token.decode()
        return Claim(text, generation, int(text.split(" ", 1)[0]))

    def _claim(self, generation: str, lease: float, dead: bytes | str) -> list[Any]:
        keys = PUBLISHING, FENCE, GENERATIONS, PROMOTED
        who = Owner.here(generation).to_json()
        with sentences(self.address):
            reply: Any = self._redis.eval(scripts.CLAIM, len(keys), *keys, who, _milliseconds(lease), dead)
        return list(reply)

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        self._guarded(scripts.RENEW, [PUBLISHING], claim, _milliseconds(lease))

    def release(self, claim: Claim) -> None:
        with sentences(self.address):
            self._redis.eval(scripts.RELEASE, 1, PUBLISHING, claim.token)

    def stored(self, manifest: Manifest, claim: Claim) -> Stored:
        parts, users = part_keys(claim.generation, manifest), users_keys(claim.generation, manifest)
        keys = [PUBLISHING, manifest_key(claim.generation), *parts, *users]
        _, sizes = self._guarded(scripts.STORED, keys, claim, UNFINISHED_EXPIRE, len(parts))
        rest = iter(sizes)
        chunks = {name: list(islice(rest, chunks_of(part.bytes))) for name, part in manifest.stored_parts.items()}
        return Stored(chunks, list(rest))

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        view = memoryview(data)
        with sentences(self.address):
            # NX: one who was paused for longer than the claim lasted does no harm to what others wrote meanwhile.
            options: dict[str, Any] = (
                {"ex": UNFINISHED_EXPIRE, "nx": True} if claim else {"ex": self._expire(generation)}
            )
            chunks = enumerate(range(0, len(view), CHUNK), first)
            while some := list(islice(chunks, _CHUNKS_AT_ONCE)):
                with self._bulk.pipeline(transaction=False) as pipe:
                    for n, at in some:
                        pipe.set(part_key(generation, name, n), view[at : at + CHUNK], **options)
                    pipe.execute()

    def mend_part(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        keys = [PUBLISHING, manifest_key(claim.generation), part_key(claim.generation, name, chunk)]
        self._guarded(scripts.MEND, keys, claim, UNFINISHED_EXPIRE, data)

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        last = chunks_of(size) if count is None else min(first + count, chunks_of(size))
        for start in range(first, last, _CHUNKS_AT_ONCE):
            some = range(start, min(start + _CHUNKS_AT_ONCE, last))
            with sentences(self.address):
                chunks: Any = self._redis.mget([part_key(generation, name, n) for n in some])
            for n, chunk in zip(some, chunks, strict=True):
                if chunk is None or len(chunk) != min(CHUNK, size - n * CHUNK):
                    raise refusals.chunk_missing(generation, name, n)
                yield chunk

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        rest = iter(records.items())
        while some := list(islice(rest, _RECORDS_AT_ONCE)):
            self._write_records(generation, buckets, some, claim)

    def _write_records(
        self, generation: str, buckets: int, records: list[tuple[str, bytes]], claim: Claim | None
    ) -> None:
        hashes: dict[str, list[bytes]] = defaultdict(list)
        for user, record in records:
            hashes[users_key(generation, user_bucket(user, buckets))] += (text_of(user), record)
        token = claim.token if claim else ""
        with sentences(self.address), self._redis.pipeline(transaction=False) as pipe:
            for key, pairs in hashes.items():
                keys = PUBLISHING, manifest_key(generation), key
                pipe.eval(scripts.RECORDS, len(keys), *keys, token, UNFINISHED_EXPIRE, *pairs)
            for outcome in pipe.execute():
                _check(outcome)

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        hashes: dict[int, list[int]] = defaultdict(list)
        for at, user in enumerate(users):
            hashes[user_bucket(user, buckets)].append(at)
        records: list[bytes | None] = [None] * len(users)
        with sentences(self.address), self._redis.pipeline(transaction=False) as pipe:
            for bucket, places in hashes.items():
                pipe.hmget(users_key(generation, bucket), [text_of(users[at]) for at in places])
            for places, found in zip(hashes.values(), pipe.execute(), strict=True):
                for at, record in zip(places, found, strict=True):
                    records[at] = record
        return records

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        read = Manifest.from_json(manifest)
        parts = part_keys(generation, read)
        head = [PUBLISHING, manifest_key(generation), GENERATIONS, FENCE, PROMOTED]
        keys = [*head, *parts, *users_keys(generation, read)]
        fence = claim.fence if claim else 0
        values = [generation, manifest, fence, read.dims["users"], *parts.values()]
        outcome = self._guarded(scripts.MANIFEST, keys, claim, *values)
        if outcome[0] == b"missing":
            raise refusals.not_whole(generation, outcome[1].decode())

    def read_manifest(self, generation: str) -> bytes | None:
        with sentences(self.address):
            manifest: Any = self._redis.get(manifest_key(generation))
        return None if manifest is None else bytes(manifest)

    def generations(self) -> list[str]:
        with sentences(self.address):
            ids: Any = self._redis.zrange(GENERATIONS, 0, -1)
        return [generation.decode() for generation in ids]

    def delete(self, generation: str) -> None:
        text = self.read_manifest(generation)
        keys = [manifest_key(generation), GENERATIONS, alias_key(LIVE), alias_key(PREVIOUS), cursor_key(generation)]
        if text is not None:
            manifest = Manifest.from_json(text, any_format=True)
            keys += [*part_keys(generation, manifest), *users_keys(generation, manifest)]
            keys += lists_keys(generation, manifest)
        with sentences(self.address):
            outcome: Any = self._redis.eval(scripts.DELETE, len(keys), *keys, generation)
        if outcome[0] == b"aliased":
            raise refusals.aliased(generation)

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        parts, users = part_keys(claim.generation, manifest), users_keys(claim.generation, manifest)
        self._guarded(scripts.DISCARD, [PUBLISHING, manifest_key(claim.generation), *parts, *users], claim)

    def promote(self, generation: str, *, forward: bool = False) -> Moved:
        return self._move(generation, forward)

    def rollback(self) -> Moved:
        live, previous = self.aliases()
        if live is None or previous is None:
            raise refusals.no_way_back()
        # By name: the command may be sent twice when a connection drops, and two ways back are none.
        return self._move(previous, False, live)

    def _move(self, generation: str, forward: bool, expected: str = "") -> Moved:
        keys = GENERATIONS, alias_key(LIVE), alias_key(PREVIOUS), PROMOTED, manifest_key(generation)
        values = generation, int(forward), ALIASES_CHANNEL, expected
        with sentences(self.address):
            reply: Any = self._redis.eval(scripts.MOVE, len(keys), *keys, *values)
        outcome, *ids = (None if value is None else value.decode() for value in reply)
        if outcome == "absent":
            raise refusals.absent(generation)
        if outcome == "stale":
            raise refusals.overtaken(generation, ids[0])
        if outcome == "changed":
            raise refusals.moved_meanwhile(ids[0])
        was, live, previous = ids
        return Moved(was, str(live), previous)

    def alias(self, name: str) -> str | None:
        with sentences(self.address):
            generation: Any = self._redis.get(alias_key(name))
        return None if generation is None else generation.decode()

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        with sentences(self.address):
            ids: Any = self._redis.mget([alias_key(name) for name in names])
        return tuple(None if generation is None else generation.decode() for generation in ids)

    def space(self) -> Space | None:
        try:
            with sentences(self.address):
                memory: Any = self._redis.info("memory")
        except StoreError as error:
            if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
                return None
            raise
        return Space(memory["used_memory"], memory["maxmemory"]) if memory.get("maxmemory") else None

    def close(self) -> None:
        """Let go of connections."""
        self._redis.close()
        self._bulk.close()

    def _guarded(self, script: str, keys: Sequence[str], claim: Claim | None, *values: Any) -> list[Any]:
        with sentences(self.address):
            outcome: Any = self._bulk.eval(script, len(keys), *keys, claim.token if claim else "", *values)
        return _check(outcome)

    def _expire(self, generation: str) -> int | None:
        """Seconds that what is written now may stay: for good once there is a manifest."""
        return None if self._redis.exists(manifest_key(generation)) else UNFINISHED_EXPIRE


def _check(outcome: list[Any]) -> list[Any]:
    """What a script that takes a token answered; StalePublisher where the token was not there."""
    if outcome[0] == b"stale":
        raise refusals.claim_lost()
    return outcome


def _encoded(value: Any) -> bytes | memoryview:
    return value if isinstance(value, bytes | memoryview) else str(value).encode()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
