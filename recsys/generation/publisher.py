"""Publishing: a generation into a store, whole, checked as it comes back, and only then named.

Knows no Prefect and no Redis. Whoever dies on the way leaves readers what they had, and the next run goes on.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import GenerationError, StalePublisher, StoreError, StoreFull
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.received_parts import Arrival, unwritable
from recsys.generation.upload import Progress, Upload, untold
from recsys.generation.verification import Proof
from recsys.store.needed_memory import check_memory, predict
from recsys.store.ports import LEASE, Claim, GenerationStore, StoredSizes

Smoke = Callable[[GenerationFolder], None]
"""Tries a generation as it came back from the store; GenerationError says what is wrong with it."""

KEPT = 3
"""Generations kept, beside those an alias names: the new one, the one before, and one more to look back at."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes into `store`.

    scratch: a folder for what comes back from the store, to be tried by `smoke`. budget: bytes that all generations
    together may take. lease: seconds after which others may think that this publisher is gone.
    """

    store: GenerationStore
    scratch: Path
    smoke: Smoke | None = None
    budget: int | None = None
    lease: float = LEASE

    def publish(self, folder: GenerationFolder, progress: Progress = untold) -> Manifest:
        """Put a generation into the store; what is live stays. Again is no harm: what is there is checked and kept.

        PublisherBusy, StalePublisher, StoreFull and GenerationError each say what to do.
        """
        manifest = folder.manifest
        with self._claimed(manifest.id) as claim:
            upload = Upload(self.store, folder, manifest, claim, progress)
            self._check_room(manifest, upload.stored)
            try:
                # What comes back equal to a folder that was proved needs no hash of its own: .1 s of .6 at 278 MiB.
                proved = Proof(folder).stands
                with self._trial(manifest) as scratch, Arrival(manifest, scratch, hashed=not proved) as arrival:
                    upload.run(arrival)
                    if scratch and self.smoke:
                        self.smoke(arrival.sealed())
                self.store.write_manifest(manifest.id, manifest.to_json(), claim)
            except StalePublisher:
                raise
            except (GenerationError, StoreFull):
                self.store.discard(manifest, claim)
                raise
        progress(1.0, f"{manifest.size / 2**20:.0f} MiB")
        return manifest

    def forget(self, folder: Path | None = None) -> list[str]:
        """Delete generations past the newest KEPT that no alias names, in `folder` too; their ids."""
        named = set(self.store.aliases())
        stored = self.store.generations()
        gone = [generation for generation in stored[:-KEPT] if generation not in named]
        if folder is not None:
            # Those that never came into the store have no fence: the newest by name stay. Folders go first, while the
            # store still knows their generations: one who is killed in between leaves nothing that nobody looks for.
            strays = sorted(path.name for path in folder.glob("g*") if path.name not in stored)
            for generation in [*gone, *strays[:-KEPT]]:
                shutil.rmtree(folder / generation, ignore_errors=True)
        return [generation for generation in gone if self._delete(generation)]

    def _delete(self, generation: str) -> bool:
        try:
            self.store.delete(generation)
        except GenerationError:  # it was promoted at this moment
            return False
        return True

    @contextmanager
    def _claimed(self, generation: str) -> Iterator[Claim]:
        """The claim on publishing, renewed on a thread of its own until the end."""
        claim = self.store.claim(generation, self.lease)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self.lease / 3):
                with suppress(StoreError, StalePublisher):  # who holds no claim any more is told where it matters
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
        there = sum(map(sum, stored.chunks.values()))
        check_memory(manifest, there, others, self.budget, self.store.memory_use())

    @contextmanager
    def _trial(self, manifest: Manifest) -> Iterator[Path | None]:
        """A folder for what comes back, if there is someone to try it; it and those of dead publishers go."""
        if self.smoke is None:
            yield None
            return
        folder = self.scratch / f"{manifest.id}.{os.getpid()}"
        try:
            for left in self.scratch.glob("g*.*"):
                if left == folder or not _runs(left.suffix[1:]):
                    shutil.rmtree(left, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(self.scratch, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: str) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
