"""What the operating verbs do. None of them needs Prefect, so that a rollback takes a second and not ten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import GenerationError, StalePublisher
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.generation.publisher import Check, Publisher
from recsys.store.ports import LEASE, AliasMove, GenerationStore
from training.progress import RunProgress


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `publish` did. moved: None where no alias was to be moved. deleted: generations that had their time."""

    generation: str
    bytes: int
    moved: AliasMove | None
    deleted: list[str]


def publish(
    which: str,
    store: GenerationStore,
    environment: Environment,
    progress: RunProgress,
    *,
    promote: bool = True,
    smoke: Check | None = None,
    lease: float = LEASE,
) -> Outcome:
    """Publish a folder, or the generation of that id made here; then, unless told not to, make it live."""
    folder = find(which, environment.home / "generations")
    publisher = Publisher(store, environment.folder("trials"), smoke, environment.redis_budget, lease)
    with progress.step("publishing") as step:
        manifest = publisher.publish(folder, step.update)
    moved = store.promote(manifest.id, forward=True) if promote else None
    deleted = publisher.delete_old(environment.folder("generations")) if promote else []
    return Outcome(manifest.id, manifest.size, moved, deleted)


def find(which: str, home: Path) -> GenerationFolder:
    """The generation in a folder, or of an id in `home`; GenerationError names those that are there."""
    for path in (Path(which), home / which):
        if (path / MANIFEST).is_file():
            return GenerationFolder(path)
    known = sorted(path.parent.name for path in home.glob(f"*/{MANIFEST}"))
    there = f"In {home} there are: {', '.join(known)}." if known else f"In {home} there is none."
    raise GenerationError(f"{which} is neither a folder with a generation nor the id of one. {there}")


def promote(generation: str, store: GenerationStore) -> AliasMove:
    """Make a generation live, wherever it stands in the order; an unknown one is answered with those that are known."""
    try:
        return store.promote(generation)
    except StalePublisher:
        raise
    except GenerationError as error:
        raise GenerationError(f"{error} {_known(store)}") from error


def delete(generation: str, store: GenerationStore) -> None:
    """Remove a generation from the store; an unknown one is answered with those that are known."""
    if generation not in store.generations() and store.read_manifest(generation) is None:
        raise GenerationError(f"Generation {generation} is not in the store. {_known(store)}")
    store.delete(generation)


def _known(store: GenerationStore) -> str:
    known = store.generations()
    if not known:
        return "The store has none. Publish one with: python -m flows publish FOLDER"
    return f"The store has: {', '.join(known)}."


def told(moved: AliasMove) -> str:
    """What a move did, in a sentence."""
    if moved.was == moved.live:
        return f"Live: {moved.live}, as before."
    if moved.was is None:
        return f"Live: {moved.live}. Nothing was live before."
    return f"Live: {moved.live}. Before: {moved.was}; python -m flows rollback goes back to it."
