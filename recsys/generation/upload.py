"""Upload a generation (trained models and tables) to Redis: write missing chunks, then read all back and compare.

The next upload of the same generation continues an interrupted one.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from itertools import compress

import numpy as np

from recsys.errors import GenerationError
from recsys.generation.manifest import GenerationFolder, Manifest, is_user_part
from recsys.generation.received_parts import ReceivedParts, background, changed_in_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import CHUNK, Claim, user_bucket

Progress = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and a word for the progress bar."""

CHUNKS_AT_ONCE = 16
"""Chunks that are written before they are read back, 16 MB."""

AHEAD = 2
"""Groups of chunks or users that are written ahead of the one that is read back."""

USERS_AT_ONCE = 2_000
"""Users whose records are written before they are read back: a few MB, and one step of the progress bar."""


def no_progress(share: float, word: str) -> None:
    """A `Progress` that does nothing."""


class Upload:
    """The upload of one generation.

    finished: whether the store has its manifest already. stored: the chunks and records that the store has.
    GenerationError if the store has another generation of the same id.
    """

    def __init__(self, store: RedisGenerationStore, folder: GenerationFolder, claim: Claim, progress: Progress) -> None:
        self._store = store
        self._folder = folder
        self._manifest = folder.manifest
        self._claim = claim
        self._progress = progress
        self.finished = self._is_finished()
        self.stored = store.stored_sizes(self._manifest, claim)
        self._verified: set[str] = set()
        self._done = 0

    def run(self, received: ReceivedParts) -> None:
        """Write all that is missing and read all back into `received`; GenerationError names the damaged part."""
        for name in filter(is_user_part, self._manifest.parts):
            self._verify(name)
        with background("read-back", AHEAD) as read_back:
            for name in self._manifest.stored_parts:
                self._upload_part(name, received, read_back)
            if self._manifest.dims["users"]:
                self._upload_users(read_back)
        received.check()

    def _is_finished(self) -> bool:
        text = self._store.read_manifest(self._manifest.id)
        if text is not None and self._differs(text):
            raise GenerationError(
                f"The store has another generation under the id {self._manifest.id}. Delete it first, if it is not "
                f"wanted: python -m flows delete {self._manifest.id}"
            )
        return text is not None

    def _differs(self, text: bytes) -> bool:
        """Whether a stored manifest is of another generation; users may have been deleted from the folder since."""
        return text != self._manifest.to_json().encode() and (
            Manifest.from_json(text, any_format=True).without_users != self._manifest.without_users
        )

    def _upload_part(self, name: str, received: ReceivedParts, read_back: Callable[..., None]) -> None:
        data = mapped(self._folder, self._manifest, name)
        for first in range(0, len(self.stored.chunks[name]), CHUNKS_AT_ONCE):
            some = data[first * CHUNK : (first + CHUNKS_AT_ONCE) * CHUNK]
            self._write(name, some, first)
            read_back(self._read_back, name, some, first, received)

    def _read_back(self, name: str, data: memoryview, first: int, received: ReceivedParts) -> None:
        """Read some chunks, compare them with the part and mend those that differ."""
        size, count = self._manifest.parts[name].bytes, -(-len(data) // CHUNK)
        for at, chunk in enumerate(self._store.read_part(self._manifest.id, name, size, first=first, count=count)):
            wanted = data[at * CHUNK : (at + 1) * CHUNK]
            received.take(name, chunk if chunk == bytes(wanted) else self._mended(name, wanted, first + at))
        self._report(len(data), name)

    def _write(self, name: str, data: memoryview, first: int) -> None:
        """Write some chunks. If the store has some of them, missing ones and those of another length are mended."""
        chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
        sizes = self.stored.chunks[name][first : first + len(chunks)]
        if not any(sizes) and not self.finished:
            self._store.write_part(self._manifest.id, name, data, first=first, claim=self._claim)
            return
        for at, (chunk, size) in enumerate(zip(chunks, sizes, strict=True), first):
            if size != len(chunk):
                self._mended(name, chunk, at)

    def _mended(self, name: str, chunk: memoryview, at: int) -> bytes:
        """Overwrite a stored chunk and read it back.

        The part in the folder is verified first: the stored chunk may be the right one, of a generation that is live.
        """
        self._verify(name)
        self._store.overwrite_chunk(name, chunk, at, self._claim)
        size = self._manifest.parts[name].bytes
        (stored,) = self._store.read_part(self._manifest.id, name, size, first=at, count=1)
        if stored != bytes(chunk):
            raise changed_in_store(self._manifest.id, name)
        return stored

    def _verify(self, name: str) -> None:
        if name not in self._verified:
            self._folder.verify_part(self._manifest.id, name, self._manifest.parts[name])
            self._verified.add(name)

    def _upload_users(self, read_back: Callable[..., None]) -> None:
        """Upload the records of users by whole buckets.

        A bucket with all its records is not written: its users may have been deleted since.
        """
        ids, blobs = self._folder.users()
        buckets = np.array([user_bucket(user, self._manifest.user_buckets) for user in ids])
        sizes = np.bincount(buckets, minlength=self._manifest.user_buckets)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(sizes)
        start = bucket = 0
        while start < len(order):
            last = max(bucket + 1, int(np.searchsorted(ends, start + USERS_AT_ONCE, side="right")))
            stop = int(ends[last - 1])
            rows = order[start:stop]
            records = {ids[row]: blobs.bytes_at(row) for row in rows.tolist()}
            incomplete = (np.array(self.stored.records[bucket:last]) < sizes[bucket:last])[buckets[rows] - bucket]
            if incomplete.any():
                self._write_users(dict(compress(records.items(), incomplete.tolist())))
            read_back(self._check_users, records)
            start, bucket = stop, last

    def _check_users(self, records: Mapping[str, bytes]) -> None:
        """Read records back; changed ones are written once more. A missing record is of a user deleted since."""
        changed = self._changed_users(records)
        if changed:
            self._write_users(changed)
            if self._changed_users(changed):
                raise GenerationError(
                    f"Users' records of generation {self._manifest.id} came back from the store changed."
                )
        self._report(sum(map(len, records.values())), "users")

    def _changed_users(self, records: Mapping[str, bytes]) -> dict[str, bytes]:
        stored = self._store.read_records(self._manifest.id, self._manifest.user_buckets, list(records))
        pairs = zip(records.items(), stored, strict=True)
        return {user: record for (user, record), found in pairs if found not in (None, record)}

    def _write_users(self, records: Mapping[str, bytes]) -> None:
        self._store.write_users(self._manifest.id, self._manifest.user_buckets, records, self._claim)

    def _report(self, size: int, word: str) -> None:
        self._done += size
        self._progress(min(0.99, self._done / max(1, self._manifest.size)), word)


def mapped(folder: GenerationFolder, manifest: Manifest, name: str) -> memoryview:
    """The mapped bytes of a part; GenerationError if the file has another size than in the manifest."""
    part = manifest.parts[name]
    path = folder.path / name
    if not path.is_file() or path.stat().st_size != part.bytes:
        folder.verify_part(manifest.id, name, part)
    if not part.bytes:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
