"""The steps that publish a generation, promote it and delete old ones; `recsys.generation.publisher` does the work."""

from __future__ import annotations

from pathlib import Path

from flows.orchestration import store_step
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.publisher import Publisher
from recsys.store.ports import AliasMove, GenerationStore
from training.progress import RunProgress


@store_step
def publish(folder: GenerationFolder, publisher: Publisher, progress: RunProgress) -> Manifest:
    """The generation, whole, in the store under its own id; nothing that is live is touched."""
    with progress.step("publishing") as step:
        return publisher.publish(folder, step.update)


@store_step
def promote(manifest: Manifest, store: GenerationStore) -> AliasMove:
    """The alias `live` on the generation, `previous` on what was live; not if a later one was live meanwhile."""
    return store.promote(manifest.id, forward=True)


@store_step
def forget(publisher: Publisher, folder: Path) -> list[str]:
    """Generations past the newest and those an alias names, gone from the store and from `folder`; their ids."""
    return publisher.delete_old(folder)
