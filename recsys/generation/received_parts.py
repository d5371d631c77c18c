"""Receive the parts (files) of a generation, a trained set of models, from the store: hash and save each chunk.

The hashes must equal those in the manifest, the list of the files. Without a folder the parts are only hashed. Upload
and download run this on a background thread, so that reading and writing overlap.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import GenerationError
from recsys.generation.manifest import GenerationFolder, Manifest


class ReceivedParts:
    """Receives the chunks of each part in order.

    hashed: False if the caller compares the bytes with parts that are verified.
    """

    def __init__(self, manifest: Manifest, folder: Path | None = None, *, hashed: bool = True) -> None:
        self._manifest = manifest
        self._folder = folder
        self._digests = {name: hashlib.sha256() for name in manifest.stored_parts} if hashed else {}

    def take(self, name: str, chunk: bytes) -> None:
        """Receive the next chunk of a part; GenerationError if the folder can't be written."""
        if name in self._digests:
            self._digests[name].update(chunk)
        if self._folder is not None:
            append(self._folder / name, chunk)

    def check(self) -> None:
        """GenerationError names the first part that has another hash than in the manifest."""
        for name, digest in self._digests.items():
            if digest.hexdigest() != self._manifest.parts[name].sha256:
                raise changed_in_store(self._manifest.id, name)

    def sealed(self) -> GenerationFolder:
        """The folder as a generation, after `check`."""
        self.check()
        if self._folder is None:
            raise ValueError("The parts were received without a folder.")
        for name, part in self._manifest.stored_parts.items():
            if not part.bytes:
                append(self._folder / name, b"")
        folder = GenerationFolder(self._folder)
        try:
            folder.seal(self._manifest)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return folder


@contextmanager
def background(name: str, ahead: int) -> Iterator[Callable[..., None]]:
    """Yield a function that queues a call for one thread. The end of the block waits for all calls.

    A later call or the end of the block raises the first error. ahead: calls that may wait before the function blocks,
    to bound the memory of their arguments.
    """
    waiting: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(1, name)

    def submit(call: Callable[..., None], *arguments: object) -> None:
        waiting.append(pool.submit(call, *arguments))
        while len(waiting) > ahead:
            waiting.popleft().result()

    try:
        yield submit
        while waiting:
            waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def append(path: Path, chunk: bytes) -> None:
    """Append to the file of a part; GenerationError if the folder can't be written."""
    try:
        with path.open("ab") as file:
            file.write(chunk)
    except OSError as error:
        raise unwritable(path.parent, error) from error


def changed_in_store(generation: str, name: str) -> GenerationError:
    """The error of a part whose stored bytes differ from those that were written."""
    return GenerationError(f"Part {name} of generation {generation} came back from the store changed.")


def unwritable(folder: Path, error: OSError) -> GenerationError:
    """The error of a folder that can't be written, such as on a full disk."""
    return GenerationError(
        f"A generation can't be written into {folder} ({error.strerror}). "
        "Make room there, or set TANDEM_HOME to a folder that has it."
    )
