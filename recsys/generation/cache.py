"""Cache of generations (trained sets of models and tables) on this host's disk, shared by all its processes.

A generation is downloaded from Redis once; every process then maps its files into memory.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.errors import GenerationError
from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import MANIFEST, NAME, GenerationFolder, Manifest
from recsys.generation.received_parts import ReceivedParts, background, unwritable
from recsys.store.redis.generation_store import RedisGenerationStore

logger = logging.getLogger("tandem")

KEPT = 3
"""Generations that are kept: the live one, the previous one, and one that is being loaded."""

_LAST_SERVED = "last-served"

_AHEAD = 16
"""Chunks that are read ahead of the one that is hashed and written, 16 MB."""

Check = Callable[[GenerationFolder], None]


class GenerationCache:
    """A folder of generations, filled from a store. Many processes may use it at once."""

    def __init__(self, folder: Path, store: RedisGenerationStore, check: Check | None = None) -> None:
        """check: raises GenerationError for a generation with right hashes that can't be served."""
        self._folder = folder
        self._store = store
        self._check = check

    def fetch(self, generation: str, in_use: Collection[str] = ()) -> GenerationFolder:
        """The folder of a generation, verified and checked once on this host.

        in_use: generations that a download does not remove. GenerationError if the generation is missing, damaged or
        fails the check, or if the disk is full.
        """
        if not NAME.fullmatch(generation):
            raise GenerationError(f"{generation!r} is no id of a generation.")
        folder = GenerationFolder(self._folder / generation)
        if folder.is_verified:  # without the lock, which a download may hold for minutes
            _mark_used(folder.path)
        elif not os.access(self._folder, os.W_OK) and self._is_intact(folder):
            self._verify(folder)  # a read-only disk still serves
        else:
            with self._locked():
                self._fetch(folder, generation, in_use)
        return folder

    def _fetch(self, folder: GenerationFolder, generation: str, in_use: Collection[str]) -> None:
        for unfinished in self._folder.glob(".g*"):  # of killed processes, since this process holds the lock
            shutil.rmtree(unfinished, ignore_errors=True)
        if folder.is_verified:
            return  # another process fetched it meanwhile
        if not self._is_intact(folder):
            _remove(folder.path)
            self._download(generation, folder.path)
            self._remove_old(generation, in_use)
        _mark_used(folder.path)
        self._verify(folder)

    def _verify(self, folder: GenerationFolder) -> None:
        if self._check:
            self._check(folder)
            folder.note_verified()

    def holds(self, generation: str) -> bool:
        """Whether the cache has a generation, verified or not."""
        return (self._folder / generation / MANIFEST).is_file()

    def link(self, generation: str, folder: Path) -> None:
        """Add a generation of another folder as a symbolic link; OSError if that fails."""
        self._folder.mkdir(parents=True, exist_ok=True)
        link = self._folder / generation
        if link.is_symlink() and link.resolve() != folder.resolve():
            link.unlink()  # of an older bento
        link.symlink_to(folder.resolve(), target_is_directory=True)

    @property
    def last_served(self) -> str | None:
        """The generation that this host served last. It is kept for a start without the store."""
        try:
            return (self._folder / _LAST_SERVED).read_text(encoding="ascii")
        except (OSError, ValueError):
            return None

    @last_served.setter
    def last_served(self, generation: str) -> None:
        path = self._folder / _LAST_SERVED
        try:
            with atomic_write(path) as draft:
                draft.write_text(generation, encoding="ascii")
        except OSError as error:
            logger.warning("The generation that is served can't be noted in %s: %s.", path, error.strerror)

    def _is_intact(self, folder: GenerationFolder) -> bool:
        try:
            folder.verify()
        except (GenerationError, OSError):
            return False
        return True

    def _download(self, generation: str, target: Path) -> None:
        text = self._store.read_manifest(generation)
        if text is None:
            raise GenerationError(f"Generation {generation} is not in the store.")
        manifest = Manifest.from_json(text)
        try:
            unfinished = Path(tempfile.mkdtemp(prefix=f".{generation}-", dir=self._folder))
        except OSError as error:
            raise unwritable(self._folder, error) from error
        try:
            received = ReceivedParts(manifest, unfinished)
            with background("receive", _AHEAD) as receive:
                for name, part in manifest.stored_parts.items():
                    for chunk in self._store.read_part(generation, name, part.bytes):
                        receive(received.take, name, chunk)
            received.sealed()
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _remove_old(self, generation: str, in_use: Collection[str]) -> None:
        """Remove all but those in use and the KEPT generations used last; ids have the clock of another host.

        A process that maps a removed file keeps its pages.
        """
        kept = {generation, self.last_served}
        cached = [path for path in self._folder.iterdir() if path.name.startswith("g") and path.name not in kept]
        for path in sorted(cached, key=lambda path: path.lstat().st_mtime_ns)[: -(KEPT - 1)]:
            if path.name not in in_use:
                _remove(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / ".lock").open("w")
        except OSError as error:
            raise unwritable(self._folder, error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _remove(path: Path) -> None:
    """Remove a folder, or a link to one."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _mark_used(folder: Path) -> None:
    with suppress(OSError):  # of a read-only disk
        os.utime(folder)
