"""What this host can serve with no store in reach: the generation it served last, and the one that its bento pins."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from recsys.cache import GenerationCache
from recsys.errors import GenerationError
from recsys.generation import GenerationFolder

logger = logging.getLogger("tandem")

PINNED = "TANDEM_PINNED"
"""Names the folder of the generation that the bento pins, for the workers."""


class Spare:
    """The generations on this host that need no store."""

    def __init__(self, cache: GenerationCache, pinned: Path | None = None) -> None:
        self._cache = cache
        self._pinned = pinned

    def ids(self) -> list[str]:
        """The generation served last, then the pinned one; those of them that are here."""
        last = self._cache.last_served
        here = last if last and self._cache.holds(last) else None
        return [each for each in dict.fromkeys((here, self._pin())) if each]

    def remember(self, generation: str) -> None:
        """Note what is served now; a disk that is full or read-only forgets it, and serving goes on."""
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
        with suppress(OSError):  # it is there already, whole or linked, or can't be: the fetch will tell
            self._cache.link(generation, self._pinned)
        return generation
