"""The generations a process holds. A query names its generation; a process that lacks it loads it then."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from recsys.cache import GenerationCache
from recsys.generation import GenerationFolder

T = TypeVar("T")

HELD = 2
"""Generations held at once: the one in force and the one that replaces it or that it replaced."""


class GenerationHolder(Generic[T]):
    """Loaded generations by id, the least used let go first."""

    def __init__(self, cache: GenerationCache, load: Callable[[GenerationFolder], T]) -> None:
        self._cache = cache
        self._load = load
        self._held: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, generation: str) -> T:
        """The loaded generation; GenerationError or StoreUnavailable where it can't be had."""
        with self._lock:
            if generation not in self._held:
                self._held[generation] = self._load(self._cache.fetch(generation))
            self._held.move_to_end(generation)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
            return self._held[generation]

    def held(self) -> list[str]:
        """Ids of what is held."""
        return list(self._held)
