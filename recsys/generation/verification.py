"""That a generation's folder was found whole and sound, noted beside its parts.

One process of a host reads every byte and makes sense of it; the others take its word for as long as no part was
written to: hashing 358 MB in six processes was most of a load (docs/decisions.md). A fault is not noted: it may
be this moment's (no file handles, no memory) or this code's.
"""

from __future__ import annotations

import json
import logging
import time

from recsys.errors import GenerationError
from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import GenerationFolder

logger = logging.getLogger("tandem")

_NOTE = ".proof"

_TICK = 0.02
"""Seconds, twice the longest step in which files' times of change go on (Linux, 100 Hz)."""


class Proof:
    """The note in a folder."""

    def __init__(self, folder: GenerationFolder) -> None:
        self._folder = folder
        self._path = folder.path / _NOTE

    @property
    def stands(self) -> bool:
        """Whether a process of this host found the generation sound, and no part was written to since."""
        try:
            return bool(json.loads(self._path.read_text(encoding="utf-8")) == self._look())
        except (OSError, ValueError, GenerationError):
            return False

    def note(self) -> None:
        """Tell the others; on a disk that takes nothing they find out themselves."""
        try:
            self._let_a_tick_pass()
            with atomic_write(self._path) as draft:
                draft.write_text(json.dumps(self._look()), encoding="utf-8")
        except OSError as error:
            logger.info("What was found of %s can't be noted there: %s.", self._folder.path, error.strerror)

    def _let_a_tick_pass(self) -> None:
        """A part written to twice within one tick of the system's clock would show the same time of change."""
        newest = max((changed for _, _, changed in self._look().values()), default=0)
        time.sleep(min(_TICK, max(0.0, _TICK - (time.time_ns() - newest) / 1e9)))

    def _look(self) -> dict[str, list[int]]:
        """Size, inode and time of change of every part; that time is the system's, and nobody can set it back."""
        states = {name: (self._folder.path / name).stat() for name in self._folder.manifest.stored_parts}
        return {name: [state.st_size, state.st_ino, state.st_ctime_ns] for name, state in states.items()}
