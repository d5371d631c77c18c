"""Generations on this host's disk, fetched from a store once and mapped by every process."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from recsys.errors import GenerationError
from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import MANIFEST, NAME, GenerationFolder, Manifest
from recsys.generation.received_parts import Arrival, unwritable
from recsys.generation.verification import Proof
from recsys.store.ports import GenerationStore

logger = logging.getLogger("tandem")

KEPT = 3
"""Generations kept: the live one, the previous one and one being loaded."""

_LAST = "last-served"

Check = Callable[[GenerationFolder], None]

_AT_ONCE = 8
"""Chunks taken from a store before they are written, 8 MB."""


class GenerationCache:
    """A folder of generations, filled from a store; safe for many processes at once."""

    def __init__(self, folder: Path, store: GenerationStore, check: Check | None = None) -> None:
        """check: what has to hold of a generation besides its hashes; GenerationError where it does not."""
        self._folder = folder
        self._store = store
        self._check = check

    def fetch(self, generation: str) -> GenerationFolder:
        """The generation, verified and checked once on this host.

        GenerationError if it is missing, not what its manifest says, makes no sense, or has no room.
        """
        if not NAME.fullmatch(generation):
            raise GenerationError(f"{generation!r} is no id of a generation.")
        folder = GenerationFolder(self._folder / generation)
        if Proof(folder).stands:  # without the lock: somebody may hold it for as long as a download takes
            _used(folder.path)
        elif not os.access(self._folder, os.W_OK) and self._is_whole(folder):
            self._prove(folder)  # a disk that went read-only serves what is on it
        else:
            with self._locked():
                self._fetch(folder, generation)
        return folder

    def _fetch(self, folder: GenerationFolder, generation: str) -> None:
        """Have a generation here, whole and sound; with the lock."""
        for left in self._folder.glob(".g*"):  # by a process that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        if Proof(folder).stands:
            return  # whoever held the lock before us saw to it
        if not self._is_whole(folder):
            _remove(folder.path)
            self._download(generation, folder.path)
            self._forget_old(generation)
        _used(folder.path)
        self._prove(folder)

    def _prove(self, folder: GenerationFolder) -> None:
        if self._check:
            self._check(folder)
            Proof(folder).note()

    def holds(self, generation: str) -> bool:
        """Whether a generation is here; it is checked when it is fetched."""
        return (self._folder / generation / MANIFEST).is_file()

    def link(self, generation: str, folder: Path) -> None:
        """Let a generation that lies elsewhere on this host be found here; OSError where that can't be."""
        self._folder.mkdir(parents=True, exist_ok=True)
        link = self._folder / generation
        if link.is_symlink() and link.resolve() != folder.resolve():
            link.unlink()  # of a bento that was here before
        link.symlink_to(folder.resolve(), target_is_directory=True)

    @property
    def last_served(self) -> str | None:
        """The generation that this host answered from last; it stays here, for a start without the store."""
        try:
            return (self._folder / _LAST).read_text(encoding="ascii")
        except (OSError, ValueError):
            return None

    @last_served.setter
    def last_served(self, generation: str) -> None:
        path = self._folder / _LAST
        try:
            with atomic_write(path) as draft:
                draft.write_text(generation, encoding="ascii")
        except OSError as error:
            logger.warning("What is served can't be noted in %s: %s.", path, error.strerror)

    def _is_whole(self, folder: GenerationFolder) -> bool:
        """Whether it is here and undamaged."""
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
        scratch = self._scratch(generation)
        try:
            with Arrival(manifest, scratch) as arrival:
                for name, part in manifest.stored_parts.items():
                    chunks = self._store.read_part(generation, name, part.bytes)
                    while some := list(islice(chunks, _AT_ONCE)):
                        arrival.take(name, some)
                arrival.sealed()
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _scratch(self, generation: str) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix=f".{generation}-", dir=self._folder))
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def _forget_old(self, generation: str) -> None:
        # By last use here: ids tell the time of the clock that made them. A process that still maps a removed file
        # keeps its pages until it lets go.
        kept = {generation, self.last_served}
        cached = [path for path in self._folder.iterdir() if path.name.startswith("g") and path.name not in kept]
        for path in sorted(cached, key=lambda path: path.lstat().st_mtime_ns)[: -(KEPT - 1)]:
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
    """Take away a folder, or a link to one that lies elsewhere."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _used(folder: Path) -> None:
    """Remember when a generation was last fetched."""
    try:
        os.utime(folder)
    except OSError:
        return  # a cache that can be read only still serves
