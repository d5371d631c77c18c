"""Publish a trained set of models (a generation) from this host to the store, make one live (promote), delete one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import GenerationError, StalePublisher
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.generation.publisher import Check, Publisher
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LEASE, AliasMove
from training.judge.gate.past_generations import best_of, past_of
from training.progress import RunProgress


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of `publish`. moved: None without a promotion. deleted: ids of old generations."""

    generation: str
    bytes: int
    moved: AliasMove | None
    deleted: list[str]


def publish(
    which: str,
    store: RedisGenerationStore,
    environment: Environment,
    progress: RunProgress,
    *,
    promote: bool = True,
    smoke: Check | None = None,
    lease: float = LEASE,
) -> PublishResult:
    """Publish a folder, or the generation of that id of this host; then make it live, if `promote`."""
    folder = find(which, environment.home / "generations")
    publisher = Publisher(store, environment.folder("trials"), smoke, environment.redis_budget, lease)
    with progress.step("publishing") as step:
        manifest = publisher.publish(folder, step)
    moved = store.promote(manifest.id, forward=True) if promote else None
    best = best_of(past_of(manifest), time.time())  # the next training scores it
    deleted = publisher.delete_old(environment.folder("generations"), best.id if best else None) if promote else []
    return PublishResult(manifest.id, manifest.size, moved, deleted)


def find(which: str, home: Path) -> GenerationFolder:
    """The generation in the folder `which`, or of that id in `home`; GenerationError lists the ids in `home`."""
    for path in (Path(which), home / which):
        if (path / MANIFEST).is_file():
            return GenerationFolder(path)
    known = sorted(path.parent.name for path in home.glob(f"*/{MANIFEST}"))
    there = f"In {home} there are: {', '.join(known)}." if known else f"In {home} there is none."
    raise GenerationError(f"{which} is neither a folder with a generation nor the id of one. {there}")


def promote(generation: str, store: RedisGenerationStore) -> AliasMove:
    """Make a generation live, also an older one. The error for an unknown id lists the known ones."""
    try:
        return store.promote(generation)
    except StalePublisher:
        raise
    except GenerationError as error:
        raise GenerationError(f"{error} {_known(store)}") from error


def roll_back(store: RedisGenerationStore, to: str | None = None) -> AliasMove:
    """Make the previous generation live again. to: GenerationError unless that is the one; None: whichever it is."""
    if to is None:
        return store.rollback()
    live, previous = store.aliases()
    if previous != to or live is None:
        raise GenerationError(f"{to} is not what was live before {live}; {previous or 'nothing'} is. Nothing moved.")
    return store.promote(to, expected=live)


def delete(generation: str, store: RedisGenerationStore) -> None:
    """Remove a generation from the store. The error for an unknown id lists the known ones."""
    if generation not in store.generations() and store.read_manifest(generation) is None:
        raise GenerationError(f"Generation {generation} is not in the store. {_known(store)}")
    store.delete(generation)


def _known(store: RedisGenerationStore) -> str:
    known = store.generations()
    if not known:
        return "The store has none. Publish one with: python -m flows publish FOLDER"
    return f"The store has: {', '.join(known)}."


def describe_move(move: AliasMove) -> str:
    """A sentence about a move of the alias `live`."""
    if move.was == move.live:
        return f"Live: {move.live}, as before."
    if move.was is None:
        return f"Live: {move.live}. Nothing was live before."
    return f"Live: {move.live}. Before: {move.was}; python -m flows rollback goes back to it."
