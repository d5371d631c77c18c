"""The file of rules on a disk, read again whenever it changed; a broken edit keeps what was in force."""

from __future__ import annotations

import logging
from pathlib import Path

from recsys.errors import RulesError
from recsys.rules.document import Rules, parse

logger = logging.getLogger("tandem")


class RulesFile:
    """The rules in force; without a file, those of none. RulesError where it is wrong when it is first read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: str | None = None
        self._state = self._look()
        self.current = self._read()

    def look(self) -> None:
        """Read the file if it changed."""
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self.current, self.fault = self._read(), None
            logger.info("Rules of %s are in force.", self.path)
        except RulesError as error:
            self.fault = str(error)
            logger.warning("%s The rules before stay in force.", error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            state = self.path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read(self) -> Rules:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Rules()
        except (OSError, UnicodeDecodeError) as error:
            raise RulesError(f"{self.path} can't be read: {error}.") from error
        return parse(text, self.path.name)
