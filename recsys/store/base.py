"""What a store does. Knows no Redis.

Two ports, since two kinds of process use it: flows and loaders read and write whole generations, one command at a
time (`GenerationStore`, sync); the gateway reads many users at once on the hot path (`UserStore`, async).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys.types import Event, Id

LIVE, PREVIOUS = "live", "previous"

CHUNK = 1 << 20
"""Bytes of a part in one key: 4,096 rows of 64 float32. Large enough that a key's cost is nothing, small enough that
one read blocks the store for under a millisecond."""

EVENTS_KEPT = 200
"""Newest events kept of a user beside the generation's history: twice what the towers look at."""

EVENTS_EXPIRE = 90 * 86_400
"""Seconds after a user's last event when what is kept of them here goes."""


def user_bucket(user_id: Id, buckets: int) -> int:
    """The hash that holds a user's record in a generation of so many buckets."""
    return zlib.crc32(str(user_id).encode("utf-8", "surrogatepass")) % buckets


@dataclass(frozen=True, slots=True)
class UserState:
    """All that is stored of one user: the packed record of a generation (None if unknown) and events since."""

    record: bytes | None
    events: list[Event]


class GenerationStore(Protocol):
    """Generations, whole, and the aliases that name them. StoreUnavailable where the store can't be reached."""

    def ping(self) -> None:
        """Return if the store answers."""

    def write_part(self, generation: str, name: str, data: bytes) -> None:
        """Write one part, in chunks."""

    def read_part(self, generation: str, name: str, size: int) -> Iterator[bytes]:
        """The chunks of a part of `size` bytes, in order; GenerationError names a missing chunk."""

    def write_users(self, generation: str, buckets: int, records: Mapping[str, bytes]) -> None:
        """Write users' packed records, spread over `buckets` hashes."""

    def write_manifest(self, generation: str, manifest: str) -> None:
        """Write the manifest: from now on the generation can be promoted."""

    def read_manifest(self, generation: str) -> bytes | None:
        """The manifest, None where there is none."""

    def generations(self) -> list[str]:
        """Ids of every generation with a manifest, oldest first."""

    def delete(self, generation: str) -> None:
        """Remove a generation that no alias names; GenerationError if one does."""

    def promote(self, generation: str) -> None:
        """Move `live` to a generation, `previous` to what was live; GenerationError if it has no manifest."""

    def alias(self, name: str) -> str | None:
        """The generation an alias names."""


class UserStore(Protocol):
    """Users' state, for the hot path."""

    async def read_users(self, generation: str, buckets: int, users: Sequence[Id]) -> list[UserState]:
        """The state of each user, in one round trip; events oldest first."""

    async def add_events(self, events: Sequence[Event]) -> None:
        """Append events to their users, in one round trip."""

    async def close(self) -> None:
        """Let go of connections."""
