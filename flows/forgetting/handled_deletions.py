"""Which deletions of users the flow `drain` has handled in which folder, so that a run continues where one ended.

Each host has its own files and its own note. A lost note means that the next run looks for all deletions in all files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from recsys.files.atomic_write import atomic_write
from recsys.store.stored_types import DeletedUser, place_of
from recsys.user_digest import DeletedUsers
from training.read.locations import Location, reaching

CLOCKS_DIFFER = 3_600.0
"""Seconds by which the clocks of hosts and buckets may differ, when the age of a file is judged."""

HANDLED = "deletions.json"
"""The note, in the folder of all state: the last handled deletion of each folder, and when that run began."""


class HandledDeletions:
    """The deletions that a run has to look for. noted: all deletions that the store remembers, oldest first."""

    def __init__(self, home: Path, noted: Sequence[DeletedUser]) -> None:
        self._path, self._noted, self._start = home / HANDLED, noted, time.time()
        self._all: DeletedUsers = {user.digest: user.at for user in noted}  # the last deletion of a user counts
        self._handled = _read(self._path)

    def oldest_first(self, folders: Sequence[str]) -> list[str]:
        """The folders, those first that were handled longest ago. Others are forgotten: they are removed."""
        self._handled = {folder: self._handled[folder] for folder in folders if folder in self._handled}
        return sorted(folders, key=lambda folder: self._handled.get(folder, ("", 0.0))[1])

    def new(self, folder: str) -> DeletedUsers:
        """The deletions that no run has looked for in a folder."""
        entry, _ = self._handled.get(folder, ("", 0.0))
        return {user.digest: user.at for user in self._noted if not entry or place_of(user.entry) > place_of(entry)}

    def of_file(self, folder: str, changed: float) -> DeletedUsers:
        """The deletions to look for in a file of a folder: all if the file changed since. changed: unix seconds.

        A flow that had read the user may have written such a file later.
        """
        _, last = self._handled.get(folder, ("", 0.0))
        return self._all if changed >= last - CLOCKS_DIFFER else self.new(folder)

    def note(self, folder: str) -> None:
        """Note that the folder is done."""
        self._handled[folder] = self._noted[-1].entry, self._start

    def save(self) -> None:
        """Write the note. LocationError if the file can't be written."""
        with reaching(Location(str(self._path)), "written"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as draft:
                draft.write_text(json.dumps(self._handled), encoding="utf-8")


def _read(path: Path) -> dict[str, tuple[str, float]]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {str(folder): (str(entry), float(at)) for folder, (entry, at) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
