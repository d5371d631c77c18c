"""What this host can serve with no store in reach: the generation it served last, and the one that its bento pins."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from recsys.errors import GenerationError
from recsys.generation import GenerationFolder

logger = logging.getLogger("tandem")

PINNED = "TANDEM_PINNED"
"""Names the folder of the generation that the bento pins, for the workers."""

_LAST = "last-served"


class Spare:
    """The generations on this host that need no store, in the cache folder."""

    def __init__(self, cache: Path, pinned: Path | None = None) -> None:
        self._cache = cache
        self._pinned = pinned

    def ids(self) -> list[str]:
        """The generation served last, then the pinned one; those of them that are here."""
        return [each for each in dict.fromkeys((self._last(), self._pin())) if each]

    def remember(self, generation: str) -> None:
        """Note what is served now; a disk that is full or read-only forgets it, and serving goes on."""
        path = self._cache / _LAST
        try:
            scratch = path.with_name(f".{_LAST}-{os.getpid()}")
            scratch.write_text(generation, encoding="ascii")
            scratch.replace(path)
        except OSError as error:
            logger.warning("What is served can't be noted in %s: %s.", path, error.strerror)

    def _last(self) -> str | None:
        try:
            generation = (self._cache / _LAST).read_text(encoding="ascii")
            return generation if GenerationFolder(self._cache / generation).manifest.id == generation else None
        except (OSError, ValueError, GenerationError):
            return None

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
            self._cache.mkdir(parents=True, exist_ok=True)
            (self._cache / generation).symlink_to(self._pinned.resolve(), target_is_directory=True)
        return generation
