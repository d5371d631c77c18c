"""A store in a dict, for unit tests; it passes the same contract suite as the real one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from recsys.errors import GenerationError
from recsys.store.base import CHUNK, EVENTS_KEPT, LIVE, PREVIOUS, UserState
from recsys.types import Event, Id


class MemoryStore:
    """Both ports over plain dicts."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], bytes] = {}
        self._manifests: dict[str, str] = {}
        self._records: dict[tuple[str, str], bytes] = {}
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._aliases: dict[str, str] = {}

    def ping(self) -> None:
        """Always there."""

    def write_part(self, generation: str, name: str, data: bytes) -> None:
        self._parts[generation, name] = bytes(data)

    def read_part(self, generation: str, name: str, size: int) -> Iterator[bytes]:
        data = self._parts.get((generation, name), b"")
        if len(data) < size:
            raise GenerationError(f"Part {name} of generation {generation} lacks a chunk in the store.")
        yield from (data[at : at + CHUNK] for at in range(0, size, CHUNK))

    def write_users(self, generation: str, buckets: int, records: Mapping[str, bytes]) -> None:
        self._records |= {(generation, user): record for user, record in records.items()}

    def write_manifest(self, generation: str, manifest: str) -> None:
        self._manifests[generation] = manifest

    def read_manifest(self, generation: str) -> bytes | None:
        manifest = self._manifests.get(generation)
        return None if manifest is None else manifest.encode()

    def generations(self) -> list[str]:
        return sorted(self._manifests)

    def delete(self, generation: str) -> None:
        if generation in self._aliases.values():
            raise GenerationError(f"Generation {generation} is named by an alias and stays.")
        self._manifests.pop(generation, None)
        self._parts = {key: part for key, part in self._parts.items() if key[0] != generation}
        self._records = {key: record for key, record in self._records.items() if key[0] != generation}

    def promote(self, generation: str) -> None:
        if generation not in self._manifests:
            raise GenerationError(f"Generation {generation} is not in the store, so it can't go live.")
        live = self._aliases.get(LIVE)
        if live is not None and live != generation:
            self._aliases[PREVIOUS] = live
        self._aliases[LIVE] = generation

    def alias(self, name: str) -> str | None:
        return self._aliases.get(name)

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        return [UserState(self._records.get((generation, str(u))), list(self._events[str(u)])) for u in users]

    async def add_events(self, events: Sequence[Event]) -> None:
        for event in events:
            kept = self._events[str(event.user_id)]
            kept.append(event)
            del kept[:-EVENTS_KEPT]

    async def close(self) -> None:
        """Nothing to let go of."""
