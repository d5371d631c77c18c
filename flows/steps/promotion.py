"""The last steps of the training flow: publish the trained models, make them live (promotion) and delete old ones."""

from __future__ import annotations

from pathlib import Path

from flows.orchestration import store_step
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.publisher import Publisher
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import AliasMove
from training.progress import RunProgress


@store_step
def publish(folder: GenerationFolder, publisher: Publisher, progress: RunProgress) -> Manifest:
    """Write a generation into the store under its own id, without a change of what is live."""
    with progress.step("publishing") as step:
        return publisher.publish(folder, step.update)


@store_step
def promote(manifest: Manifest, store: RedisGenerationStore) -> AliasMove:
    """Move the alias `live` to the generation; StalePublisher if a later generation was live meanwhile."""
    return store.promote(manifest.id, forward=True)


@store_step
def delete_old(publisher: Publisher, folder: Path) -> list[str]:
    """Delete old generations that no alias names from the store and from `folder`; return their ids."""
    return publisher.delete_old(folder)
