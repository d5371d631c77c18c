"""The parts of a generation as they arrive from a store: hashed on the way, and not once more after. Knows no store."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from recsys.errors import GenerationError
from recsys.generation.manifest import GenerationFolder, Manifest

_AHEAD = 16
"""Chunks that may wait for the hash, 16 MB: reading is twice as fast."""


class Arrival:
    """What is taken is hashed on a thread of its own and, given a folder, written into it.

    hashed: False where whoever hands them over has compared them with parts that were. GenerationError, with what to
    do, where the folder can't be written.
    """

    def __init__(self, manifest: Manifest, folder: Path | None = None, *, hashed: bool = True) -> None:
        self._manifest = manifest
        self._folder = folder
        self._digests = {name: hashlib.sha256() for name in manifest.stored_parts} if hashed else {}
        self._pool = ThreadPoolExecutor(1, "hash")
        self._waiting: deque[Future[None]] = deque()

    def take(self, name: str, chunks: list[bytes]) -> None:
        """The next chunks of a part."""
        if name in self._digests:
            self._waiting += [self._pool.submit(self._digests[name].update, chunk) for chunk in chunks]
        if self._folder is not None:
            _append(self._folder / name, chunks)
        while len(self._waiting) > _AHEAD:
            self._waiting.popleft().result()

    def whole(self) -> None:
        """Return if every part is what the manifest says; GenerationError names one that isn't."""
        while self._waiting:
            self._waiting.popleft().result()
        for name, digest in self._digests.items():
            if digest.hexdigest() != self._manifest.parts[name].sha256:
                raise came_back_changed(self._manifest.id, name)

    def sealed(self) -> GenerationFolder:
        """The folder as a generation, once it is whole."""
        self.whole()
        if self._folder is None:
            raise ValueError("nothing was written")
        for name, part in self._manifest.stored_parts.items():
            if not part.bytes:
                _append(self._folder / name, [])
        folder = GenerationFolder(self._folder)
        try:
            folder.seal(self._manifest)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return folder

    def __enter__(self) -> Arrival:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _append(path: Path, chunks: list[bytes]) -> None:
    try:
        with path.open("ab", buffering=0) as file:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
    except OSError as error:
        raise unwritable(path.parent, error) from error


def came_back_changed(generation: str, name: str) -> GenerationError:
    """What is said of a part whose bytes are not those that were written."""
    return GenerationError(f"Part {name} of generation {generation} came back from the store changed.")


def unwritable(folder: Path, error: OSError) -> GenerationError:
    """What is said where a disk is full or can't be written."""
    return GenerationError(
        f"A generation can't be written into {folder} ({error.strerror}). "
        "Make room there, or set TANDEM_HOME to a folder that has it."
    )
