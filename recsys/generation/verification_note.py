"""A verification note: a file which records that this host has verified the files of a generation (trained models).

One process of a host reads and checks every byte. The others skip the check while the note is valid: hashing 358 MB in
six processes was most of a load (docs/decisions.md). A failed check leaves no note: its cause may be temporary, such as
a lack of memory.
"""

from __future__ import annotations

import json
import logging
import time

from recsys.errors import GenerationError
from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import GenerationFolder

logger = logging.getLogger("tandem")

_NAME = ".verified"

_TICK = 0.02
"""Seconds, twice the longest step of the clock of file times (Linux, 100 Hz)."""


class VerificationNote:
    """The note in a generation's folder."""

    def __init__(self, folder: GenerationFolder) -> None:
        self._folder = folder
        self._path = folder.path / _NAME

    @property
    def is_valid(self) -> bool:
        """Whether a process of this host verified the generation, and no part was written since."""
        try:
            return bool(json.loads(self._path.read_text(encoding="utf-8")) == self._states())
        except (OSError, ValueError, GenerationError):
            return False

    def write(self) -> None:
        """Write the note; without effect on a disk that can't be written."""
        try:
            self._wait_a_tick()
            with atomic_write(self._path) as draft:
                draft.write_text(json.dumps(self._states()), encoding="utf-8")
        except OSError as error:
            logger.info("The verification of %s can't be noted there: %s.", self._folder.path, error.strerror)

    def _wait_a_tick(self) -> None:
        """Two writes within one tick of the system's clock would have the same time of change."""
        newest = max((changed for _, _, changed in self._states().values()), default=0)
        time.sleep(min(_TICK, max(0.0, _TICK - (time.time_ns() - newest) / 1e9)))

    def _states(self) -> dict[str, list[int]]:
        """Size, inode and time of change of every part. Programs can't set that time."""
        states = {name: (self._folder.path / name).stat() for name in self._folder.manifest.stored_parts}
        return {name: [state.st_size, state.st_ino, state.st_ctime_ns] for name, state in states.items()}
