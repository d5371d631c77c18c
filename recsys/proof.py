"""What was found out about a generation's folder, noted beside its parts.

One process of a host reads every byte and makes sense of it; the others take its word for as long as no part was
written to: hashing 358 MB in six processes was most of an adoption (docs/decisions.md).
"""

from __future__ import annotations

import json
import logging
import os

from recsys.generation import GenerationFolder

logger = logging.getLogger("tandem")

_NOTE = ".proof"


class Proof:
    """The note in a folder."""

    def __init__(self, folder: GenerationFolder) -> None:
        self._folder = folder
        self._path = folder.path / _NOTE

    def told(self) -> str | None:
        """What is wrong with the generation, "" where nothing is; None where nobody looked since a part changed."""
        try:
            note = json.loads(self._path.read_text(encoding="utf-8"))
            return str(note["fault"]) if note["parts"] == self._look() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, fault: str) -> None:
        """Tell the others; on a disk that takes nothing they find out themselves."""
        scratch = self._path.with_name(f"{_NOTE}-{os.getpid()}")
        try:
            scratch.write_text(json.dumps({"parts": self._look(), "fault": fault}), encoding="utf-8")
            scratch.replace(self._path)
        except OSError as error:
            logger.info("What was found of %s can't be noted there: %s.", self._folder.path, error.strerror)

    def _look(self) -> dict[str, list[int]]:
        """Size, time of change and inode of every part, which tell whether one was written to."""
        states = {name: (self._folder.path / name).stat() for name in self._folder.manifest.stored_parts}
        return {name: [state.st_size, state.st_mtime_ns, state.st_ino] for name, state in states.items()}
