"""A generation's way into a store: what is missing is written, and all of it is read back and compared.

Knows no Redis. Where one who uploads dies, the next who uploads the same generation goes on.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress

import numpy as np

from recsys.errors import GenerationError
from recsys.generation.manifest import GenerationFolder, Manifest, is_user_part
from recsys.generation.packed_strings import StringTable
from recsys.generation.received_parts import Arrival, came_back_changed
from recsys.store.ports import CHUNK, Claim, GenerationStore, user_bucket

Progress = Callable[[float, str], None]
"""Told the share done, 0 to 1, and a word on how it goes."""

CHUNKS_AT_ONCE = 16
"""Chunks written before they are read back, 16 MB."""

USERS_AT_ONCE = 2_000
"""Users' records written before they are read back: a few MB, and a step of the progress bar."""

AHEAD = 2
"""Steps the writing may be ahead of the reading back: enough that neither waits, and little in memory."""

UNREADABLE = (OSError, ValueError, IndexError)
"""What reading damaged tables of users raises."""


def untold(share: float, word: str) -> None:
    """Tell nobody."""


class Upload:
    """One generation's way into the store: written on this thread, read back and compared on another."""

    def __init__(
        self, store: GenerationStore, folder: GenerationFolder, manifest: Manifest, claim: Claim, progress: Progress
    ) -> None:
        self._store = store
        self._folder = folder
        self._manifest = manifest
        self._claim = claim
        self._progress = progress
        self.finished = self._is_finished()
        self.stored = store.stored_sizes(manifest, claim)
        self._arrival: Arrival | None = None
        self._users_verified: Future[None] = Future()
        self._sound: set[str] = set()
        self._pending: deque[Future[None]] = deque()
        self._done = 0

    def run(self, arrival: Arrival) -> None:
        """Write what is missing, read everything back; GenerationError names what is wrong."""
        with ThreadPoolExecutor(1, "users") as checker, ThreadPoolExecutor(1, "read-back") as reader:
            users = self._users_verified = checker.submit(self._verify_users)
            try:
                for name in self._manifest.stored_parts:
                    self._part(name, reader, arrival)
                self._users(reader)
                self._wait(0)
            except BaseException as error:
                reader.shutdown(cancel_futures=True)
                if isinstance(error, UNREADABLE):
                    users.result()  # names the part
                raise
            users.result()
        arrival.whole()

    def _is_finished(self) -> bool:
        """Whether the store has it whole already; GenerationError where it has another of that id."""
        text = self._store.read_manifest(self._manifest.id)
        if text is not None and text != self._manifest.to_json().encode():
            raise GenerationError(
                f"The store has another generation under the id {self._manifest.id}. Delete it first, if it is not "
                f"wanted: python -m flows delete {self._manifest.id}"
            )
        return text is not None

    def _verify_users(self) -> None:
        """The users' parts in the folder are what the manifest says."""
        for name, part in self._manifest.parts.items():
            if is_user_part(name):
                self._folder.verify_part(self._manifest.id, name, part)

    def _part(self, name: str, reader: ThreadPoolExecutor, arrival: Arrival) -> None:
        size = self._manifest.parts[name].bytes
        data = mapped(self._folder, self._manifest, name)
        for first in range(0, len(self.stored.chunks[name]), CHUNKS_AT_ONCE):
            some = data[first * CHUNK : (first + CHUNKS_AT_ONCE) * CHUNK]
            self._write(name, some, first)
            self._pending.append(reader.submit(self._read_back, name, size, some, first, arrival))
            self._wait(AHEAD)

    def _write(self, name: str, data: memoryview, first: int) -> None:
        """Write those of some chunks that are not there; over one of another length, or into what is finished."""
        chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
        there = self.stored.chunks[name][first : first + len(chunks)]
        if not any(there) and not self.finished:
            self._store.write_part(self._manifest.id, name, data, first=first, claim=self._claim)
            return
        for at, (chunk, size) in enumerate(zip(chunks, there, strict=True), first):
            if size == 0 and not self.finished:
                self._store.write_part(self._manifest.id, name, chunk, first=at, claim=self._claim)
            elif size != len(chunk):
                self._mend(name, chunk, at)

    def _read_back(self, name: str, size: int, data: memoryview, first: int, arrival: Arrival) -> None:
        """Take some chunks from the store; one that is not as it should be is mended, and has to be then."""
        count = -(-len(data) // CHUNK)
        chunks = list(self._store.read_part(self._manifest.id, name, size, first=first, count=count))
        for at, chunk in enumerate(chunks):
            wanted = data[at * CHUNK : (at + 1) * CHUNK]
            if not same(chunk, wanted):
                self._mend(name, wanted, first + at)
                (chunks[at],) = self._store.read_part(self._manifest.id, name, size, first=first + at, count=1)
                if not same(chunks[at], wanted):
                    raise came_back_changed(self._manifest.id, name)
        arrival.take(name, chunks)
        self._tell(len(data), name)

    def _mend(self, name: str, chunk: memoryview, at: int) -> None:
        """Write over a chunk once the folder's part has proved whole: the stored one may be good, and live."""
        if name not in self._sound:
            self._folder.verify_part(self._manifest.id, name, self._manifest.parts[name])
            self._sound.add(name)
        self._store.overwrite_chunk(name, chunk, at, self._claim)

    def _users(self, reader: ThreadPoolExecutor) -> None:
        """Users' records, whole hashes at a time."""
        if not self._manifest.dims["users"]:
            return
        ids, blobs = (Rows(table) for table in self._folder.users())
        buckets = np.array([user_bucket(ids.text(row), self._manifest.user_buckets) for row in range(len(ids))])
        sizes = np.bincount(buckets, minlength=self._manifest.user_buckets)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(sizes)
        start = bucket = 0
        while start < len(order):
            last = max(bucket + 1, int(np.searchsorted(ends, start + USERS_AT_ONCE, side="right")))
            stop = int(ends[last - 1])
            rows = order[start:stop]
            records = {ids.text(row): blobs.at(row) for row in rows.tolist()}
            short = (np.array(self.stored.records[bucket:last]) != sizes[bucket:last])[buckets[rows] - bucket]
            if short.any():
                # Whole hashes, and no other: in those somebody may have been forgotten.
                self._write_users(dict(compress(records.items(), short.tolist())))
            self._pending.append(reader.submit(self._read_back_users, records))
            self._wait(AHEAD)
            start, bucket = stop, last

    def _write_users(self, records: Mapping[str, bytes]) -> None:
        """Write some records; over those of what is finished only once the folder's have proved whole."""
        if self.finished:
            self._users_verified.result()
        self._store.write_users(self._manifest.id, self._manifest.user_buckets, records, self._claim)

    def _read_back_users(self, records: Mapping[str, bytes]) -> None:
        for last in (False, True):
            found = self._store.read_records(self._manifest.id, self._manifest.user_buckets, list(records))
            # None: forgotten since. That nobody else is missing is counted: before, by `stored`, and with the manifest.
            changed = {
                user: told for (user, told), got in zip(records.items(), found, strict=True) if got not in (None, told)
            }
            if not changed:
                break
            if last:
                raise GenerationError(
                    f"Users' records of generation {self._manifest.id} came back from the store changed."
                )
            self._write_users(changed)
        self._tell(sum(map(len, records.values())), "users")

    def _wait(self, ahead: int) -> None:
        while len(self._pending) > ahead:
            self._pending.popleft().result()

    def _tell(self, size: int, word: str) -> None:
        self._done += size
        self._progress(min(0.99, self._done / max(1, self._manifest.size)), word)


class Rows:
    """A table's strings one by one, at a fifth of what slices of a mapped array take."""

    def __init__(self, table: StringTable) -> None:
        self._data = np.ascontiguousarray(table.data).data
        self._offsets: list[int] = table.offsets.tolist()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def at(self, row: int) -> bytes:
        """The bytes of one."""
        return bytes(self._data[self._offsets[row] : self._offsets[row + 1]])

    def text(self, row: int) -> str:
        """One as text."""
        return self.at(row).decode("utf-8", "surrogatepass")


def mapped(folder: GenerationFolder, manifest: Manifest, name: str) -> memoryview:
    """A part's bytes, mapped; GenerationError where the file has another size than the manifest says."""
    part = manifest.parts[name]
    path = folder.path / name
    if not path.is_file() or path.stat().st_size != part.bytes:
        folder.verify_part(manifest.id, name, part)
    if not part.bytes:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def same(chunk: bytes, wanted: memoryview) -> bool:
    """Whether bytes are equal; eight at a time where they come out even, twice as fast as one by one.

    A memoryview compares them sixty times slower.
    """
    kind = np.uint8 if len(chunk) % 8 or len(wanted) % 8 else np.uint64
    return np.array_equal(np.frombuffer(chunk, kind), np.frombuffer(wanted, kind))
