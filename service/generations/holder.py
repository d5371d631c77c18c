"""The holder of the generations (trained sets of models and tables) that a process has in memory, by id.

The module also returns the memory that a load took, and keeps garbage collection rare.
"""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Generic, TypeVar

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import GenerationFolder

T = TypeVar("T")

ALLOCATIONS = 7_000
"""New objects after which the garbage collector runs. With Python's 700 it takes a twentieth of the gateway's time."""


class GenerationHolder(Generic[T]):
    """Loaded generations by id. Two threads may load them; any thread may get them meanwhile.

    prepare: is called with a loaded generation before any thread can get it.
    """

    def __init__(self, cache: GenerationCache, load: Callable[[GenerationFolder], T]) -> None:
        self.prepare: Callable[[T], object] = lambda _: None
        self._cache = cache
        self._load = load
        self._held: dict[str, T] = {}
        self._changing = threading.Lock()

    @property
    def held(self) -> tuple[str, ...]:
        """The ids of the loaded generations."""
        return tuple(self._held)

    def get(self, generation: str) -> T:
        """The loaded generation; GenerationError if it is not loaded."""
        try:
            return self._held[generation]
        except KeyError:
            raise GenerationError(f"Generation {generation} is not loaded in this process.") from None

    def each(self) -> list[T]:
        """The loaded generations."""
        return list(self._held.values())

    def load(self, generation: str, kept: Callable[[], Collection[str]] = tuple) -> None:
        """Load a generation if it is not held, and then drop all that are not kept.

        kept: returns the generations that stay. It is called when the load ends: an alias may move during a load.
        """
        if generation not in self._held:
            loaded = self._load(self._cache.fetch(generation, kept()))
            self.prepare(loaded)
            with self._changing:
                stay = kept()
                held = {each: held for each, held in self._held.items() if each in stay}
                self._held = held | {generation: loaded}

    def drop(self, generation: str) -> None:
        """Drop a generation. Queries that hold a part of it keep that part."""
        with self._changing:
            self._held = {each: held for each, held in self._held.items() if each != generation}


def freeze_imports() -> None:
    """Exclude all present objects from garbage collection. Call it before a generation is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 10, 10)


def release_memory() -> None:
    """Free dropped generations, which may refer to themselves, and return what a load used to the system."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
