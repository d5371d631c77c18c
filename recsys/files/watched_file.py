"""Watch a file that people edit, such as the rules or the API keys: a running process reads it again when it changes.

A faulty edit is logged and leaves the previous content in force.
"""

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

FileState = tuple[int, int, int]
"""Modification time, size and inode: at least one of them changes when the file changes."""

MOST_BYTES = 4 * 1024**2
"""Of a file that people write. The largest file of keys has a tenth of that size."""


class WatchedFile(ABC, Generic[T]):
    """The parsed content of a file. current: the content in force. fault: the error of the newest edit, None if valid.

    Raises `error` if the file is faulty at the first read. With `last`, the path of a copy of the content in force, a
    faulty file raises nothing: the copy is used, and without a readable copy the result of `empty`.
    """

    noun: ClassVar[str]
    error: ClassVar[type[TandemError]]
    may_be_empty: ClassVar[bool] = False

    def __init__(self, path: Path, last: Path | None = None) -> None:
        self.path = path
        self.fault: str | None = None
        self._last = last
        self._state = file_state(path)
        self._emptied: FileState | None = None
        try:
            self.current = self._load()
        except self.error as error:
            if last is None:
                raise
            self.current, self.fault = self._load_copy(last), str(error)
            logger.warning("%s The %s that were in force last are used.", error, self.noun)

    @abstractmethod
    def parse(self, text: str) -> T:
        """Return the content of a text; raise `error` if the text is faulty."""

    @abstractmethod
    def empty(self) -> T:
        """Return the content in force if nothing can be read."""

    @abstractmethod
    def text_if_missing(self) -> str:
        """Return the text that a missing file stands for; raise `error` if the file is required."""

    def checked(self, content: T) -> T:
        """Return the content of the file; raise `error` if it can't be used here. A kept copy is not checked."""
        return content

    def refresh(self) -> None:
        """Read the file again if it changed. A file that may be empty is read at the second look if it is empty."""
        state = file_state(self.path)
        if state == self._state:
            return
        if self.may_be_empty and state and not state[1] and state != self._emptied:
            self._emptied = state  # editors empty a file before they write it
            return
        self._state = state
        try:
            self.current, self.fault = self._load(), None
            event = f"{self.noun.capitalize()} of %s are in force." if state else "The file %s was removed."
            logger.info(event, self.path)
        except self.error as error:
            self.fault = str(error)
            logger.warning("%s The previous %s stay in force.", error, self.noun)

    def _load(self) -> T:
        text = self._read()
        content = self.checked(self.parse(text))
        if self._last is not None:
            self._save_copy(self._last, text)
        return content

    def _read(self) -> str:
        try:
            return read_regular_file(self.path).decode("utf-8")
        except FileNotFoundError:
            return self.text_if_missing()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", error)
            raise self.error(f"The {self.noun} of {self.path} can't be read: {reason}.") from error

    def _save_copy(self, last: Path, text: str) -> None:
        try:
            with atomic_write(last, mode=0o600) as draft:  # several workers read the same edit at once
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            logger.warning("The %s in force can't be stored in %s: %s.", self.noun, last, error.strerror)

    def _load_copy(self, last: Path) -> T:
        try:
            return self.parse(last.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, self.error):
            return self.empty()


def read_regular_file(path: Path) -> bytes:
    """The bytes of a regular file. OSError for other files: a read from a pipe may block, and a device has no end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if state.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20} MiB")
        return file.read(MOST_BYTES)


def file_state(path: Path) -> FileState | None:
    """The state of a file or of the target of a symbolic link; None if the file can't be accessed."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
