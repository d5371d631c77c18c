"""Publish: put a generation into the store, read it back, and move the alias `live` to it.

Only what touches the store is retried, and only where the store could not be reached: a refusal stays a refusal.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.errors import GenerationError, StoreUnavailable
from recsys.generation import GenerationFolder, Manifest, is_user_part
from recsys.store.base import LIVE, PREVIOUS, GenerationStore
from training.watch import Progress, Watch, no_progress

KEPT = 3
"""Generations kept, beside those an alias names: the new one, the one before, and one more to look back at."""

USERS_AT_ONCE = 2_000
"""Users' records written by one call: a few MB, and a step of the progress bar."""


def lost_the_store(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001 Prefect's signature
    """Whether a task failed for want of a connection."""
    return isinstance(state.result(raise_on_failure=False), StoreUnavailable)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def publish(folder: GenerationFolder, store: GenerationStore, watch: Watch) -> Manifest:
    """The generation, whole, in the store under its own id; nothing that is live is touched."""
    manifest = folder.verify(users=True)
    with watch("publishing") as progress:
        upload(folder, manifest, store, progress)
    return manifest


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def promote(manifest: Manifest, store: GenerationStore) -> None:
    """The alias `live` on the generation, `previous` on what was live."""
    store.promote(manifest.id)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def forget(store: GenerationStore, folder: Path) -> None:
    """Generations past the newest KEPT and those an alias names, gone from the store and from `folder`."""
    named = {store.alias(LIVE), store.alias(PREVIOUS)}
    stored = store.generations()
    for generation in outdated(stored, named):
        store.delete(generation)
    for generation in outdated(sorted(path.name for path in folder.glob("g*")), named):
        shutil.rmtree(folder / generation, ignore_errors=True)


def outdated(generations: list[str], named: set[str | None]) -> list[str]:
    """Of ids in order of time, those neither among the newest KEPT nor named."""
    return [generation for generation in generations[:-KEPT] if generation not in named]


def upload(
    folder: GenerationFolder, manifest: Manifest, store: GenerationStore, progress: Progress = no_progress
) -> None:
    """Write every part and every user, read the parts back, and write the manifest last."""
    parts = [name for name in manifest.parts if not is_user_part(name)]
    for done, name in enumerate(parts):
        store.write_part(manifest.id, name, (folder.path / name).read_bytes())
        progress(0.3 * done / len(parts), name)
    upload_users(folder, manifest, store, lambda share, word: progress(0.3 + 0.5 * share, word))
    for done, name in enumerate(parts):
        check_stored(manifest, name, store)
        progress(0.8 + 0.2 * done / len(parts), f"checking {name}")
    store.write_manifest(manifest.id, manifest.to_json())
    progress(1.0, f"{manifest.size / 2**20:.0f} MiB")


def upload_users(folder: GenerationFolder, manifest: Manifest, store: GenerationStore, progress: Progress) -> None:
    """Write every user's record."""
    ids, blobs = folder.users()
    for start in range(0, len(ids), USERS_AT_ONCE):
        rows = range(start, min(start + USERS_AT_ONCE, len(ids)))
        store.write_users(manifest.id, manifest.user_buckets, {ids[row]: blobs.bytes_at(row) for row in rows})
        progress(rows.stop / len(ids), f"{rows.stop:,} users")


def check_stored(manifest: Manifest, name: str, store: GenerationStore) -> None:
    """GenerationError if a part in the store is not what the manifest says."""
    digest = hashlib.sha256()
    for chunk in store.read_part(manifest.id, name, manifest.parts[name].bytes):
        digest.update(chunk)
    if digest.hexdigest() != manifest.parts[name].sha256:
        raise GenerationError(f"Part {name} of generation {manifest.id} came back from the store changed.")
