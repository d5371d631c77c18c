"""A file that is read again whenever it changed; a wrong edit keeps what was in force."""

from __future__ import annotations

import errno
import logging
import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from recsys.errors import TandemError
from recsys.files.atomic_write import atomic_write

logger = logging.getLogger("tandem")

T = TypeVar("T")

State = tuple[int, int, int]

MOST_BYTES = 4 * 1024**2
"""Of a file that people write; the largest file of keys has a tenth of it."""


class FollowedFile(ABC, Generic[T]):
    """What a file says; `current` is what is in force, `fault` what is wrong with the file.

    Raises `error` where the file is wrong when it is first read. With `last`, a file where the text in force is kept
    for the processes that start later, it raises nothing: it takes what is kept there, or what `nothing` gives.
    """

    noun: ClassVar[str]
    error: ClassVar[type[TandemError]]

    def __init__(self, path: Path, last: Path | None = None) -> None:
        self.path = path
        self.fault: str | None = None
        self._last = last
        self._state = state_of(path)
        try:
            self.current = self._taken()
        except self.error as error:
            if last is None:
                raise
            self.current, self.fault = self._kept(last), str(error)
            logger.warning("%s The %s that were in force last are again.", error, self.noun)

    @abstractmethod
    def parse(self, text: str) -> T:
        """What a text says; raises `error`."""

    @abstractmethod
    def nothing(self) -> T:
        """What is in force where nothing can be read."""

    @abstractmethod
    def absent(self) -> str:
        """The text of a file that is not there, or `error` where it has to be."""

    def look(self) -> None:
        """Read the file if it changed."""
        state = state_of(self.path)
        if state == self._state:
            return
        self._state = state
        try:
            self.current, self.fault = self._taken(), None
            told = f"{self.noun.capitalize()} of %s are in force." if state else "There is no %s any more."
            logger.info(told, self.path)
        except self.error as error:
            self.fault = str(error)
            logger.warning("%s The %s before stay in force.", error, self.noun)

    def _taken(self) -> T:
        """What the file says, from now on the last that was right."""
        text = self._read()
        taken = self.parse(text)
        if self._last is not None:
            self._keep(self._last, text)
        return taken

    def _read(self) -> str:
        try:
            return bytes_of(self.path).decode("utf-8")
        except FileNotFoundError:
            return self.absent()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", error)
            raise self.error(f"The {self.noun} of {self.path} can't be read: {why}.") from error

    def _keep(self, last: Path, text: str) -> None:
        try:
            with atomic_write(last, mode=0o600) as draft:  # several workers read the same edit at once
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            logger.warning("The %s in force can't be kept in %s: %s.", self.noun, last, error.strerror)

    def _kept(self, last: Path) -> T:
        """What was kept last; nothing where there is none that this code can read."""
        try:
            return self.parse(last.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, self.error):
            return self.nothing()


def bytes_of(path: Path) -> bytes:
    """What a file holds; OSError where it is none: a pipe is waited for, for ever, and a device may have no end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if state.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20} MiB")
        return file.read(MOST_BYTES)


def state_of(path: Path) -> State | None:
    """What changes when a file does, of what a symbolic link leads to; None where nothing can be looked at."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
