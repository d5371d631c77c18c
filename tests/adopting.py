"""A store, a board and a cache of words, for tests of who holds what and what succeeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recsys.errors import GenerationError, StoreUnavailable
from recsys.store.base import LIVE, PREVIOUS
from recsys.store.board import MemoryBoard
from service.generations.follower import Adopter
from service.generations.holder import GenerationHolder


class Aliases:
    """A store of aliases alone."""

    def __init__(self, live: str | None = None, previous: str | None = None) -> None:
        self.named = {LIVE: live, PREVIOUS: previous}
        self.away = False

    def aliases(self) -> tuple[str | None, str | None]:
        """Which generations they name."""
        if self.away:
            raise StoreUnavailable("No Redis answers.")
        return self.named[LIVE], self.named[PREVIOUS]


class Cache:
    """Hands out ids; those in `bad` can't be had."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.fetched: list[str] = []

    def fetch(self, generation: str) -> str:
        """Its id, in place of a folder."""
        self.fetched.append(generation)
        if generation in self.bad:
            raise GenerationError(f"Part x of {generation} is not what its manifest says.")
        return generation


def made() -> tuple[Aliases, MemoryBoard, Cache, Callable[..., Adopter]]:
    """A store, a board, a cache, and a maker of adopters over them."""
    store, board, cache = Aliases("a"), MemoryBoard(), Cache()

    def adopter(role: str = "ranking", **more: Any) -> Adopter:
        return Adopter(role, store, board, [GenerationHolder(cache, str)], **more)  # type: ignore[arg-type]  # words

    return store, board, cache, adopter
