"""Keep generations (trained sets of models and tables) and their aliases, such as `live`, in dicts, for unit tests."""

from __future__ import annotations

import time
from collections import defaultdict
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
    MemoryUse,
    StoredSizes,
    user_bucket,
)
from recsys.types import Id


class MemoryGenerations:
    """A `GenerationStore` over dicts."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, str, int], bytes] = {}
        self._manifests: dict[str, str] = {}
        self._records: dict[tuple[str, str], bytes] = {}
        self._lists: dict[tuple[str, str], bytes] = {}
        self._forgotten: dict[str, set[int]] = defaultdict(set)
        self._cursors: dict[str, Cursor] = {}
        self._aliases: dict[str, str] = {}
        self._fences: dict[str, int] = {}
        self._fence = self._promoted = 0
        self._claim: Claim | None = None
        self._claim_expires = 0.0

    def ping(self) -> None:
        """The store always answers."""

    def claim(self, generation: str, lease: float = LEASE) -> Claim:
        owner = ClaimOwner.current(generation)
        held = self._claim if time.monotonic() < self._claim_expires else None
        if held and not ClaimOwner.of_token(held.token).yields_to(owner):
            raise refusals.publisher_busy(held.token, int(time.time()))
        self._fence += 1
        self._claim = Claim(f"{self._fence} {int(time.time())} {owner.to_json()}", generation, self._fence)
        self._claim_expires = time.monotonic() + lease
        return self._claim

    def renew(self, claim: Claim, lease: float = LEASE) -> None:
        self._check_claim(claim)
        self._claim_expires = time.monotonic() + lease

    def release(self, claim: Claim) -> None:
        if self._claim == claim:
            self._claim = None

    def _check_claim(self, claim: Claim | None) -> None:
        if claim and (self._claim != claim or time.monotonic() >= self._claim_expires):
            raise refusals.claim_lost()

    def stored_sizes(self, manifest: Manifest, claim: Claim) -> StoredSizes:
        self._check_claim(claim)
        generation = claim.generation
        chunks = {
            name: [len(self._chunks.get((generation, name, n), b"")) for n in range(chunks_of(part.bytes))]
            for name, part in manifest.stored_parts.items()
        }
        records = [0] * manifest.user_buckets
        for known, user in self._records:
            if known == generation:
                records[user_bucket(user, len(records))] += 1
        for user_hash in self._forgotten[generation]:
            records[user_hash % len(records)] += 1
        return StoredSizes(chunks, records)

    def write_part(
        self, generation: str, name: str, data: bytes | memoryview, *, first: int = 0, claim: Claim | None = None
    ) -> None:
        for n, at in enumerate(range(0, len(data), CHUNK), first):
            key = generation, name, n
            if claim is None or key not in self._chunks:
                self._chunks[key] = bytes(data[at : at + CHUNK])

    def overwrite_chunk(self, name: str, data: bytes | memoryview, chunk: int, claim: Claim) -> None:
        self._check_claim(claim)
        self._chunks[claim.generation, name, chunk] = bytes(data)

    def read_part(
        self, generation: str, name: str, size: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[bytes]:
        last = chunks_of(size) if count is None else min(first + count, chunks_of(size))
        for n in range(first, last):
            chunk = self._chunks.get((generation, name, n), b"")
            if len(chunk) != min(CHUNK, size - n * CHUNK):
                raise refusals.chunk_missing(generation, name, n)
            yield chunk

    def write_users(
        self, generation: str, buckets: int, records: Mapping[str, bytes], claim: Claim | None = None
    ) -> None:
        self._check_claim(claim)
        self._forgotten[generation] -= {hash_of(user) for user in records}
        self._records |= {(generation, user): record for user, record in records.items()}

    def read_records(self, generation: str, buckets: int, users: Sequence[str]) -> list[bytes | None]:
        return [self._records.get((generation, user)) for user in users]

    def write_manifest(self, generation: str, manifest: str, claim: Claim | None = None) -> None:
        self._check_claim(claim)
        if claim:
            self._check_complete(Manifest.from_json(manifest), claim)
        elif generation not in self._fences:
            self._fence += 1
        self._manifests[generation] = manifest
        self._fences.setdefault(generation, claim.fence if claim else self._fence)

    def _check_complete(self, manifest: Manifest, claim: Claim) -> None:
        stored = self.stored_sizes(manifest, claim)
        for name, part in manifest.stored_parts.items():
            for n, size in enumerate(stored.chunks[name]):
                if size != min(CHUNK, part.bytes - n * CHUNK):
                    raise refusals.incomplete(manifest.id, f"chunk {n} of {name}")
        if sum(stored.records) != manifest.dims["users"]:
            raise refusals.incomplete(manifest.id, "users")

    def read_manifest(self, generation: str) -> bytes | None:
        manifest = self._manifests.get(generation)
        return None if manifest is None else manifest.encode()

    def generations(self) -> list[str]:
        return sorted(self._fences, key=lambda generation: self._fences[generation])

    def delete(self, generation: str) -> None:
        if generation in self._aliases.values():
            raise refusals.aliased(generation)
        self._manifests.pop(generation, None)
        self._fences.pop(generation, None)
        self._remove(generation)

    def discard(self, manifest: Manifest, claim: Claim) -> None:
        self._check_claim(claim)
        if claim.generation not in self._manifests:
            self._remove(claim.generation)

    def _remove(self, generation: str) -> None:
        self._chunks = {key: chunk for key, chunk in self._chunks.items() if key[0] != generation}
        self._records = {key: record for key, record in self._records.items() if key[0] != generation}
        self._lists = {key: packed for key, packed in self._lists.items() if key[0] != generation}
        self._forgotten.pop(generation, None)
        self._cursors.pop(generation, None)

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
        if LIVE not in self._aliases or PREVIOUS not in self._aliases:
            raise refusals.no_previous()
        return self.promote(self._aliases[PREVIOUS])

    def alias(self, name: str) -> str | None:
        return self._aliases.get(name)

    def aliases(self, names: Sequence[str] = (LIVE, PREVIOUS)) -> tuple[str | None, ...]:
        return tuple(self._aliases.get(name) for name in names)

    def memory_use(self) -> MemoryUse | None:
        return None


def hash_of(user: Id) -> int:
    """A hash that gives the user's bucket for any number of buckets. It is kept of a deleted user."""
    return user_bucket(user, 1 << 32)
