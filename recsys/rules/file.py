"""The file of rules on a disk, read again whenever it changed; a broken edit keeps what was in force."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from recsys.errors import RulesError
from recsys.rules.document import Rules, parse

logger = logging.getLogger("tandem")


class RulesFile:
    """The rules in force; without a file, those of none.

    RulesError where it is wrong when it is first read, or somebody named it and it is not there. With `last`, a file
    where the text in force is kept for the processes that start later, a wrong one is no error: they take what is kept,
    or no rules, and `fault` says what is wrong.
    """

    def __init__(self, path: Path, named: bool = False, last: Path | None = None) -> None:
        self.path = path
        self.fault: str | None = None
        self._last = last
        self._state = self._look()
        if named and self._state is None:
            raise RulesError(f"There is no file {path}, which TANDEM_RULES or --rules names.")
        try:
            self.current = self._taken()
        except RulesError as error:
            if last is None:
                raise
            self.current, self.fault = _kept(last), str(error)
            logger.warning("%s The rules that were in force last are again.", error)

    def look(self) -> None:
        """Read the file if it changed."""
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self.current, self.fault = self._taken(), None
            logger.info("Rules of %s are in force." if state else "There is no %s any more.", self.path)
        except RulesError as error:
            self.fault = str(error)
            logger.warning("%s The rules before stay in force.", error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            state = self.path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _taken(self) -> Rules:
        """What the file says, from now on the last that was right."""
        text = self._read()
        rules = parse(text, self.path.name)
        if self._last is not None:
            _keep(self._last, text)
        return rules

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise RulesError(f"{self.path} can't be read: {error}.") from error


def _keep(last: Path, text: str) -> None:
    scratch = last.with_name(f".{last.name}-{os.getpid()}")  # several workers take the same edit at once
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(last)
    except OSError as error:
        logger.warning("The rules in force can't be kept in %s: %s.", last, error.strerror)


def _kept(last: Path) -> Rules:
    """The rules kept last; none where there are none that this code can read."""
    try:
        return parse(last.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RulesError):
        return Rules()
