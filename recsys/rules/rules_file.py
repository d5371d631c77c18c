"""The file of rules on a disk, read again whenever it changed; a broken edit keeps what was in force."""

from __future__ import annotations

from pathlib import Path

from recsys.errors import RulesError
from recsys.files.watched_file import FileState, WatchedFile, file_state
from recsys.rules.document import Rules, parse


class RulesFile(WatchedFile[Rules]):
    """The rules in force; without a file, those of none.

    RulesError where it is wrong when it is first read, or somebody named it and it is not there. last: as of a
    `WatchedFile`; where nothing is kept either, there are no rules.
    """

    noun, error = "rules", RulesError

    def __init__(self, path: Path, named: bool = False, last: Path | None = None) -> None:
        if named and file_state(path) is None:
            raise RulesError(f"There is no file {path}, which TANDEM_RULES or --rules names.")
        self._emptied: FileState | None = None
        super().__init__(path, last)

    def refresh(self) -> None:
        """Read the file if it changed; one that is empty now, only once it is so at the next look, too."""
        state = file_state(self.path)
        if state and not state[1] and state not in (self._state, self._emptied):
            self._emptied = state  # editors empty a file just before they write it, and no rules are rules
            return
        super().refresh()

    def parse(self, text: str) -> Rules:
        """The rules of a text."""
        return parse(text, self.path.name)

    def empty(self) -> Rules:
        """No rules."""
        return Rules()

    def text_if_missing(self) -> str:
        """A file that is not there has none."""
        return ""
