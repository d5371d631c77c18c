"""Fake generations (sets of trained models), each only a word, for tests of how processes follow and switch them.

There is a fake of each collaborator: the store, which names the live generation, the registry, where processes announce
what they loaded, and the cache of downloaded files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from recsys.errors import GenerationError, StoreUnavailable
from recsys.store.memory.memory_store import MemoryProcessRegistry
from recsys.store.stored_types import LIVE, PREVIOUS
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder


class Aliases:
    """Fake store: only the generations that the aliases name."""

    def __init__(self, live: str | None = None, previous: str | None = None) -> None:
        self.named = {LIVE: live, PREVIOUS: previous}
        self.away = False

    def aliases(self, names: Sequence[str]) -> tuple[str | None, ...]:
        """The generations that aliases name."""
        if self.away:
            raise StoreUnavailable("No Redis answers.")
        return tuple(self.named.get(name) for name in names)


class Cache:
    """Fake cache: returns an id in place of a folder, and raises an error for the ids in `bad`."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.fetched: list[str] = []

    def fetch(self, generation: str) -> str:
        """Its id, in place of a folder."""
        self.fetched.append(generation)
        if generation in self.bad:
            raise GenerationError(f"Part x of {generation} is not what its manifest says.")
        return generation


def made() -> tuple[Aliases, MemoryProcessRegistry, Cache, Callable[..., GenerationFollower]]:
    """A store, a registry, a cache, and a maker of followers over them."""
    store, registry, cache = Aliases("a"), MemoryProcessRegistry(), Cache()

    def follower(
        role: str = "ranking", load: Callable[[Any], Any] = str, aliases: Sequence[str] = (LIVE,), **more: Any
    ) -> GenerationFollower:
        made = GenerationFollower(role, store, registry, [GenerationHolder(cache, load)], **more)  # type: ignore[arg-type]
        made.aliases = aliases
        return made

    return store, registry, cache, follower
