"""Remove users from the files of flows after `DELETE /users/{id}`, which reaches the store at once.

The store keeps a digest of each deleted user's id for 31 days. A run looks for new digests in all files, and for all
digests in files that changed since the run before: a flow that had read the user may have written them later.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.forgetting.generations_lock import generations_lock
from flows.forgetting.handled_deletions import HandledDeletions
from flows.forgetting.text_files import forget_in_text
from flows.orchestration import store_step
from recsys.errors import DatasetError
from recsys.generation.forgotten_users import forget_users
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.types import Bool
from recsys.user_digest import DeletedUsers, digest_of
from training.read.day_partitions import files_of, keep_rows, read_schema, row_groups
from training.read.locations import Location, reaching

MOST_SECONDS = 600.0
"""After which a run leaves the other folders to the next run. The limit of `drain` is 900 s."""

TIMES = ("arrived", "time", "made_at", "first")
"""The column of a file that says when a row was made, by the store's clock if there is one. Sums: the first slate."""

Forget = Callable[[DeletedUsers], int]
"""Removes users from one file, and returns the number of rows or places."""

logger = logging.getLogger("tandem")


@store_step
def remove_deleted_users(
    store: RedisFlowStore, tables: Sequence[Location], home: Path, seconds: float = MOST_SECONDS
) -> int:
    """Remove deleted users from tables and from the folder of all state; return the number of rows and places.

    tables: folders of Parquet files. What a user did and was shown after the deletion stays. A run after a kill, or
    after `seconds`, removes what is left. A file whose rows are all removed stays, empty: no flow may delete in a
    bucket.
    """
    start, noted, removed = time.monotonic(), store.read_deleted_users(), 0
    if noted:
        handled = HandledDeletions(home, noted)
        removed = _forget_in_generations(store, home / "generations", handled)
        files = _files(tables, home)
        folders = handled.oldest_first([str(home / "generations"), *files])
        for done, folder in enumerate(each for each in folders if each in files):
            if time.monotonic() - start > seconds:
                logger.warning("%d folders are left, in which the next run looks for deleted users.", len(files) - done)
                break
            removed += _forget_in_folder(folder, files[folder], handled)
        handled.save()
    store.drop_old_deletions()
    return removed


def _files(tables: Sequence[Location], home: Path) -> dict[str, list[tuple[float, Forget]]]:
    """The files of all folders by folder: when each was changed, unix seconds, and what removes users from it."""
    folders: dict[str, list[tuple[float, Forget]]] = defaultdict(list)
    for file, version in (each for table in tables for each in files_of(table).items()):
        folders[str(file.parent)].append((version.changed / 1e9, partial(remove_from, file)))
    for path in (*home.glob("reports/*.html"), *home.glob("quarantine/*/*.csv")):
        if (written := _changed(path)) is not None:
            folders[str(path.parent)].append((written, partial(forget_in_text, path)))
    return folders


def _changed(path: Path) -> float | None:
    """When a file was changed, unix seconds; None if it is removed meanwhile, as a training does in the quarantine."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _forget_in_folder(folder: str, files: Sequence[tuple[float, Forget]], handled: HandledDeletions) -> int:
    """Remove users from the files of a folder, and note that the folder is done; the number of rows and places."""
    removed, looked = 0, False
    for changed, forget in files:
        if which := handled.of_file(folder, changed):
            removed, looked = removed + forget(which), True
    handled.note(folder)
    if looked:
        handled.save()
    return removed


def remove_from(file: Location, deleted: DeletedUsers) -> int:
    """Remove the rows of deleted users from a Parquet file; the number of rows. DatasetError if rows have no time."""
    when = next((name for name in read_schema(file).names if name in TIMES), None)
    if when is None:
        raise DatasetError(
            f"{file} has none of the columns {', '.join(TIMES)}: it is no file of `flows drain` or `flows batch`. "
            "Move it to another folder."
        )
    groups = [_kept(rows, when, deleted) for rows in row_groups(file, ["user_id", when])]
    kept = np.concatenate([np.ones(0, bool), *groups])
    if not kept.all():
        keep_rows(file, kept)
    return int((~kept).sum())


def _kept(rows: pa.Table, when: str, deleted: DeletedUsers) -> Bool:
    """Which rows stay: those of other users, and those after the deletion."""
    users = pc.unique(rows["user_id"])
    until = [deleted.get(digest_of(user), -np.inf) for user in users.to_pylist()]
    places = pc.index_in(rows["user_id"], users).to_numpy()
    kept: Bool = rows[when].to_numpy() > np.asarray(until, np.float64)[places]
    return kept


def forget_in_generation(store: RedisFlowStore, folder: GenerationFolder, deleted: DeletedUsers) -> list[str]:
    """Remove users from a generation on this host, and from its copy in the store; return their ids.

    The store lacks them already, unless the generation was published during the deletion. The caller holds
    `generations_lock`.
    """
    with reaching(Location(str(folder.path)), "written"):
        users = forget_users(folder, deleted)
    if users:
        store.forget_records(folder.path.name, folder.manifest.user_buckets, users)
    return users


def _forget_in_generations(store: RedisFlowStore, folder: Path, handled: HandledDeletions) -> int:
    """Remove users from the generations on this host, unless a training or a publish uses them: then the next run does.

    The number of users.
    """
    new, removed = handled.new(str(folder)), 0
    if not new:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with generations_lock(folder, wait=False) as held:
        if not held:
            logger.info("A training or a publish uses %s. The next run looks there for deleted users.", folder)
            return 0
        removed = sum(len(forget_in_generation(store, made, new)) for made in _generations(folder))
    handled.note(str(folder))
    handled.save()
    return removed


def _generations(folder: Path) -> Iterator[GenerationFolder]:
    """The generations in a folder. One without a manifest was never complete: a killed training has left it."""
    return (GenerationFolder(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}")))
