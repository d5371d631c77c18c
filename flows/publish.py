"""Publish as steps of a flow; what is done stands in `recsys.publisher`.

Only what touches the store is retried, and only where the store could not be reached: a refusal stays a refusal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.errors import StoreUnavailable
from recsys.generation import GenerationFolder, Manifest
from recsys.publisher import Publisher
from recsys.store.base import GenerationStore, Moved
from training.watch import Watch


def lost_the_store(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001 Prefect's signature
    """Whether a task failed for want of a connection."""
    return isinstance(state.result(raise_on_failure=False), StoreUnavailable)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def publish(folder: GenerationFolder, publisher: Publisher, watch: Watch) -> Manifest:
    """The generation, whole, in the store under its own id; nothing that is live is touched."""
    with watch("publishing") as progress:
        return publisher.publish(folder, progress)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def promote(manifest: Manifest, store: GenerationStore) -> Moved:
    """The alias `live` on the generation, `previous` on what was live; not if a later one was live meanwhile."""
    return store.promote(manifest.id, forward=True)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def forget(publisher: Publisher, folder: Path) -> list[str]:
    """Generations past the newest and those an alias names, gone from the store and from `folder`; their ids."""
    return publisher.forget(folder)
