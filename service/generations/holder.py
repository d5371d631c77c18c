"""The generations a process holds. A query names its generation; a process that lacks it loads it beside the others."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from recsys.cache import GenerationCache
from recsys.errors import GenerationError
from recsys.generation import GenerationFolder

T = TypeVar("T")

HELD = 3
"""Generations held at once: the one in force, the one it replaced, and the one that will replace it."""

PATIENCE = 5.0
"""Seconds in which queries for a generation that could not be loaded do not start another load."""


class GenerationHolder(Generic[T]):
    """Loaded generations by id, the least used let go first; loading one never holds up the others."""

    def __init__(self, cache: GenerationCache, load: Callable[[GenerationFolder], T]) -> None:
        self._cache = cache
        self._load = load
        self._held: OrderedDict[str, T] = OrderedDict()
        self._loading: dict[str, Future[T]] = {}
        self._failed: dict[str, tuple[Exception, float]] = {}
        self._kept: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "load")

    @property
    def held(self) -> tuple[str, ...]:
        """Ids that are loaded, the one used last at the end."""
        with self._lock:
            return tuple(self._held)

    def keep(self, generations: Collection[str]) -> None:
        """From now on, let go of none of these, however long they go unused."""
        with self._lock:
            self._kept = frozenset(generations)

    def get(self, generation: str) -> T:
        """The loaded generation, at once; where it is not held, GenerationError, and it is loaded meanwhile."""
        with self._lock:
            if generation in self._held:
                self._held.move_to_end(generation)
                return self._held[generation]
            failed, until = self._failed.get(generation, (None, 0.0))
        if failed is not None and time.monotonic() < until:
            raise failed.with_traceback(None)  # else it keeps every frame that it was ever raised in
        self._start(generation)
        raise GenerationError(f"Generation {generation} is being loaded.")

    def wait(self, generation: str, seconds: float | None = None) -> T:
        """The loaded generation; GenerationError or StoreUnavailable where it can't be had, TimeoutError if not yet."""
        with self._lock:
            if generation in self._held:
                return self._held[generation]
        return self._start(generation).result(seconds)

    def _start(self, generation: str) -> Future[T]:
        with self._lock:
            if generation not in self._loading:
                self._loading[generation] = self._pool.submit(self._fetch, generation)
            return self._loading[generation]

    def _fetch(self, generation: str) -> T:
        try:
            return self._loaded(generation)
        except Exception as error:
            self._failed[generation] = error, time.monotonic() + PATIENCE
            raise
        finally:
            with self._lock:  # what failed is tried anew by the next who waits, what is held is asked no more
                self._loading.pop(generation, None)

    def _loaded(self, generation: str) -> T:
        loaded = self._load(self._cache.fetch(generation))
        with self._lock:
            self._failed.pop(generation, None)
            self._held[generation] = loaded
            for old in [old for old in self._held if old not in self._kept and old != generation]:
                if len(self._held) > HELD:
                    del self._held[old]
        return loaded
