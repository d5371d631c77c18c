"""Keep generations (trained sets of models and tables) and their aliases, such as `live`, in dicts, for unit tests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from recsys.generation.manifest import Manifest
from recsys.store import refusals
from recsys.store.key_names import chunks_of
from recsys.store.publisher_lock import ClaimOwner
from recsys.store.stored_types import (
    CHUNK,
    LEASE,
    LIVE,
    PREVIOUS,
    AliasMove,
    Claim,
    Cursor,
    StoredSizes,
    user_bucket,
    users_by_bucket,
)


class MemoryGenerations:
    """Trained models and tables, and the aliases that name them, as in `RedisGenerationStore`.

    records: of each hash of users; None for a user who was deleted after the record was written, or between the claim
    and the write. needed_generations: by experiments.
    """

    def __init__(self) -> None:
        self.chunks: dict[tuple[str, str, int], bytes] = {}
        self.records: dict[tuple[str, int], dict[str, bytes | None]] = {}
        self.needed_generations: set[str] = set()
        self._lists: dict[tuple[str, str, str], bytes] = {}
        self._similar: dict[tuple[str, int], bytes] = {}
        self._cursors: dict[str, Cursor] = {}
        self._manifests: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._fences: dict[str, int] = {}
        self._fence = self._promoted = 0
        self._claim: Claim | None = None
        self._forgotten: dict[str, set[str]] = {}

    def claim(self, generation: str, buckets: int, lease: float = LEASE) -> Claim:
        if self._claim and self._claim.generation != generation:
            raise refusals.publisher_busy(self._claim.token, int(time.time()))
        self._fence += 1
        self._forgotten.setdefault(generation, set())
        token = f"{self._fence} {int(time.time())} {ClaimOwner.current(generation).to_json()}"
        self._claim = Claim(token, generation, self._fence)
        return self._claim

    def renew(self, claim: Claim | None, lease: float = LEASE) -> None:
        if claim and self._claim != claim:
            raise refusals.claim_lost()

    def release(self, claim: Claim) -> None:
        if self._claim == claim:
            self._claim = None

    def stored_sizes(self, manifest: Manifest, claim: Claim) -> StoredSizes:
        self.renew(claim)
        chunks = {
            name: [len(self.chunks.get((claim.generation, name, n), b"")) for n in range(chunks_of(part.bytes))]
            for name, part in manifest.stored_parts.items()
        }
        hashes = [self.records.get((claim.generation, bucket), {}) for bucket in range(manifest.user_buckets)]
        return StoredSizes(chunks, [*map(len, hashes)])

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        for n, at in enumerate(range(0, len(data), CHUNK), first):
            if claim is None or (generation, name, n) not in self.chunks:
                self.chunks[generation, name, n] = bytes(data[at : at + CHUNK])

    def overwrite_chunk(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        self.renew(claim)
        self.chunks[claim.generation, name, chunk] = bytes(data)

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        last = chunks_of(size) if count is None else min(first + count, chunks_of(size))
        for n in range(first, last):
            chunk = self.chunks.get((generation, name, n), b"")
            if len(chunk) != min(CHUNK, size - n * CHUNK):
                raise refusals.chunk_missing(generation, name, n)
            yield chunk

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        self.renew(claim)
        for bucket, users in users_by_bucket(records, buckets).items():
            gone = self._forgotten.get(generation, ())
            written = {user: None if user in gone else records[user] for user in users}
            self.records.setdefault((generation, bucket), {}).update(written)

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        return [self.records.get((generation, user_bucket(user, buckets)), {}).get(user) for user in users]

    def read_bucket(self, generation: str, bucket: int) -> dict[str, bytes]:
        found = self.records.get((generation, bucket), {})
        return {user: record for user, record in found.items() if record is not None}

    def read_user_ids(self, generation: str, bucket: int) -> list[str]:
        return [*self.read_bucket(generation, bucket)]

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        self.renew(claim)
        if claim:
            self._check_complete(Manifest.from_json(manifest), claim)
        self._fence += claim is None
        self._forgotten.pop(generation, None)
        self._manifests[generation] = manifest
        self._fences.setdefault(generation, claim.fence if claim else self._fence)

    def _check_complete(self, manifest: Manifest, claim: Claim) -> None:
        stored = self.stored_sizes(manifest, claim)
        short = [name for name, part in manifest.stored_parts.items() if sum(stored.chunks[name]) != part.bytes]
        if short or sum(stored.records) < manifest.users_left:
            raise refusals.incomplete(manifest.id, short[0] if short else "users")

    def read_manifest(self, generation: str) -> bytes | None:
        manifest = self._manifests.get(generation)
        return None if manifest is None else manifest.encode()

    def read_manifests(self, generations: Sequence[str]) -> list[bytes | None]:
        return [self.read_manifest(generation) for generation in generations]

    def generations(self) -> list[str]:
        return sorted(self._fences, key=lambda generation: self._fences[generation])

    def delete(self, generation: str) -> None:
        if generation in self._aliases.values():
            raise refusals.aliased(generation)
        if generation in self.needed_generations:
            raise refusals.needed(generation)
        self._manifests.pop(generation, None)
        self._fences.pop(generation, None)
        self._cursors.pop(generation, None)
        self.chunks = {key: chunk for key, chunk in self.chunks.items() if key[0] != generation}
        self.records = {key: records for key, records in self.records.items() if key[0] != generation}
        self._lists = {key: listed for key, listed in self._lists.items() if key[0] != generation}
        self._similar = {key: listed for key, listed in self._similar.items() if key[0] != generation}

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        self.renew(claim)
        self._forgotten.pop(claim.generation, None)
        if claim.generation not in self._manifests:
            self.delete(claim.generation)

    def promote(self, generation: str, *, forward: bool = False) -> AliasMove:
        live = self._aliases.get(LIVE)
        if generation not in self._fences:
            raise refusals.not_stored(generation)
        fence = self._fences[generation]
        if forward and generation != live and fence <= self._promoted:
            raise refusals.outdated(generation, live)
        if live is not None and live != generation:
            self._aliases[PREVIOUS] = live
        self._aliases[LIVE] = generation
        self._promoted = max(self._promoted, fence)
        return AliasMove(live, generation, self._aliases.get(PREVIOUS))

    def rollback(self) -> AliasMove:
        if PREVIOUS not in self._aliases:
            raise refusals.no_previous()
        return self.promote(self._aliases[PREVIOUS])

    def alias(self, name: str) -> str | None:
        return self._aliases.get(name)

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        return tuple(self._aliases.get(name) for name in names)

    def needed(self) -> set[str]:
        return {*self.needed_generations}

    def memory_use(self) -> None:
        """The store has no limit."""
