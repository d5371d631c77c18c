"""Generations on this host's disk, fetched from a store once and mapped by every process."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import GenerationError
from recsys.generation import MANIFEST, GenerationFolder, Manifest, is_user_part
from recsys.store.base import GenerationStore

KEPT = 3
"""Generations kept: the live one, the previous one and one being adopted."""


class GenerationCache:
    """A folder of generations, filled from a store; safe for many processes at once."""

    def __init__(self, folder: Path, store: GenerationStore) -> None:
        self._folder = folder
        self._store = store

    def fetch(self, generation: str) -> GenerationFolder:
        """The generation, verified; GenerationError if it is missing or not what its manifest says."""
        folder = GenerationFolder(self._folder / generation)
        with self._locked():
            for left in self._folder.glob(".g*"):  # by a process that was killed: we hold the lock
                shutil.rmtree(left, ignore_errors=True)
            if not self._is_whole(folder):
                shutil.rmtree(folder.path, ignore_errors=True)
                self._download(generation, folder.path)
                self._forget_old(generation)
        return folder

    def _is_whole(self, folder: GenerationFolder) -> bool:
        """Whether it is here and undamaged."""
        if not (folder.path / MANIFEST).is_file():
            return False
        try:
            folder.verify()
        except GenerationError:
            return False
        return True

    def _download(self, generation: str, target: Path) -> None:
        text = self._store.read_manifest(generation)
        if text is None:
            raise GenerationError(f"Generation {generation} is not in the store.")
        manifest = Manifest.from_json(text)
        scratch = Path(tempfile.mkdtemp(prefix=f".{generation}-", dir=self._folder))
        try:
            for name, part in manifest.parts.items():
                if not is_user_part(name):
                    with (scratch / name).open("wb") as file:
                        file.writelines(self._store.read_part(generation, name, part.bytes))
            GenerationFolder(scratch).seal(manifest)
            GenerationFolder(scratch).verify()
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _forget_old(self, generation: str) -> None:
        # Ids sort by time. A process that still maps a removed file keeps its pages until it lets go.
        cached = sorted(path for path in self._folder.iterdir() if path.name.startswith("g"))
        for path in cached[:-KEPT]:
            if path.name != generation:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
