"""Publish a generation (trained models and tables): upload it to Redis, read it back, test it, then make it visible.

Readers see a generation only once its manifest, the list of its files, is stored. A killed upload leaves the live
generation as it was, and the next publish of the same generation continues it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import GenerationError, StalePublisher, StoreError, StoreFull
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.received_parts import ReceivedParts, unwritable
from recsys.generation.upload import Progress, Upload, no_progress
from recsys.store.needed_memory import check_memory, predict
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LEASE, Claim, StoredSizes

Check = Callable[[GenerationFolder], None]
"""Tries a generation as it was read back from the store; GenerationError if it can't be served."""

KEPT = 3
"""Generations that are kept beside those with an alias: the new one, the one before, and one more."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes into `store`.

    scratch: a folder for the parts that are read back, for `check`. budget: bytes that all generations together may
    take. lease: seconds without renewal after which another publisher may take over.
    """

    store: RedisGenerationStore
    scratch: Path
    check: Check | None = None
    budget: int | None = None
    lease: float = LEASE

    def publish(self, folder: GenerationFolder, progress: Progress = no_progress) -> Manifest:
        """Put a generation into the store without making it live. A second call verifies what is stored.

        PublisherBusy, StalePublisher, StoreFull and GenerationError each name the fix.
        """
        manifest = folder.manifest
        with self._claimed(manifest) as claim:
            upload = Upload(self.store, folder, claim, progress)
            try:
                self._check_room(manifest, upload.stored)
                # Bytes equal to a verified folder need no second hash: .1 s of .6 at 278 MiB.
                hashed = not folder.is_verified
                with self._scratch_folder() as scratch:
                    received = ReceivedParts(manifest, scratch, hashed=hashed)
                    upload.run(received)
                    if scratch and self.check:
                        self.check(received.sealed())
                self.store.write_manifest(manifest.id, manifest.to_json(), claim)
            except StalePublisher:
                raise
            except (GenerationError, StoreFull):
                self.store.discard(manifest, claim)
                raise
        progress(1.0, f"{manifest.size / 2**20:.0f} MiB")
        return manifest

    def delete_old(self, folder: Path | None = None, kept: str | None = None) -> list[str]:
        """Delete all but the newest KEPT generations and those in use, in `folder` too; return their ids.

        In use are generations that an alias names or an experiment needs. kept: a generation that stays in `folder`.
        """
        named = {*self.store.aliases(), *self.store.needed()}
        stored = self.store.generations()
        old = [generation for generation in stored[:-KEPT] if generation not in named]
        if folder is not None:
            # Folders are deleted first: after a kill in between, the store still lists the generation for the next run.
            unpublished = sorted(path.name for path in folder.glob("g*") if path.name not in stored)
            for generation in {*old, *unpublished[:-KEPT]} - {kept}:
                shutil.rmtree(folder / generation, ignore_errors=True)
        return [generation for generation in old if self._delete(generation)]

    def _delete(self, generation: str) -> bool:
        try:
            self.store.delete(generation)
        except GenerationError:  # it is in use since
            return False
        return True

    @contextmanager
    def _claimed(self, manifest: Manifest) -> Iterator[Claim]:
        """The publisher's lock, which a thread renews until the block ends."""
        claim = self.store.claim(manifest.id, manifest.user_buckets, self.lease)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self.lease / 3):
                with suppress(StoreError, StalePublisher):  # the next write raises it
                    self.store.renew(claim, self.lease)

        thread = threading.Thread(target=renew, name="claim", daemon=True)
        thread.start()
        try:
            yield claim
        finally:
            done.set()
            thread.join()
            with suppress(StoreError):
                self.store.release(claim)

    def _check_room(self, manifest: Manifest, stored: StoredSizes) -> None:
        others = 0
        for generation in self.store.generations():
            if generation != manifest.id and (text := self.store.read_manifest(generation)):
                others += predict(Manifest.from_json(text, any_format=True))
        present = sum(map(sum, stored.chunks.values()))
        check_memory(manifest, present, others, self.budget, self.store.memory_use())

    @contextmanager
    def _scratch_folder(self) -> Iterator[Path | None]:
        """An empty folder for `check`, removed at the end; None without a check. The claim lets one publisher run."""
        if self.check is None:
            yield None
            return
        folder = self.scratch / "read-back"
        shutil.rmtree(folder, ignore_errors=True)  # of a killed publisher
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(self.scratch, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
