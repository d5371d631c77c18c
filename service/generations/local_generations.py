"""The fallback without Redis: generations (trained models and tables) on this host, last served or in its bento.

A bento is the package that BentoML builds and deploys. It can pin a generation, which it then contains.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from recsys.errors import GenerationError
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import GenerationFolder
from service.generations import PINNED

logger = logging.getLogger("tandem")


class GenerationFallback:
    """What this host can serve without a store."""

    def __init__(self, cache: GenerationCache, pinned: Path | None = None) -> None:
        """pinned: the folder of the pinned generation; by default the one that the environment names."""
        self._cache = cache
        self._pinned = pinned or (Path(os.environ[PINNED]) if os.environ.get(PINNED) else None)

    def ids(self) -> list[str]:
        """The generation served last, then the pinned one; without those that are not on this host."""
        last = self._cache.last_served
        found = last if last and self._cache.holds(last) else None
        return [each for each in dict.fromkeys((found, self._pin())) if each]

    def remember(self, generation: str) -> None:
        """Note the generation that is served now. A full or read-only disk is logged."""
        self._cache.last_served = generation

    def _pin(self) -> str | None:
        """The pinned generation, linked into the cache."""
        if self._pinned is None:
            return None
        try:
            generation = GenerationFolder(self._pinned).manifest.id
        except GenerationError as error:
            logger.error("The generation pinned in this bento can't be read: %s", error)
            return None
        with suppress(OSError):  # the cache has it already, or can't be written: then the fetch raises
            self._cache.link(generation, self._pinned)
        return generation
