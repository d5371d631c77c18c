"""Watch the file of business rules on disk (rules.toml), and read it again when it changes.

After a wrong edit the old rules stay in force.
"""

from __future__ import annotations

from pathlib import Path

from recsys.errors import RulesError
from recsys.files.watched_file import FileState, WatchedFile, file_state
from recsys.rules.rules_schema import Rules, parse


class RulesFile(WatchedFile[Rules]):
    """The rules in force; the defaults if there is no file.

    RulesError if the file is wrong at the first read, or named and missing. last: see `WatchedFile`.
    """

    noun, error = "rules", RulesError

    def __init__(self, path: Path, named: bool = False, last: Path | None = None) -> None:
        if named and file_state(path) is None:
            raise RulesError(f"There is no file {path}, which TANDEM_RULES or --rules names.")
        self._emptied: FileState | None = None
        super().__init__(path, last)

    def refresh(self) -> None:
        """Read the file if it changed. An empty file is read at the second look only."""
        state = file_state(self.path)
        if state and not state[1] and state not in (self._state, self._emptied):
            self._emptied = state  # editors empty a file before they write it, and an empty file is valid
            return
        super().refresh()

    def parse(self, text: str) -> Rules:
        """Parse the text."""
        return parse(text, self.path.name)

    def empty(self) -> Rules:
        """The defaults."""
        return Rules()

    def text_if_missing(self) -> str:
        """A missing file has no rules."""
        return ""
