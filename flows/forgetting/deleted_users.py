"""Remove users from the files of flows after `DELETE /users/{id}`, which reaches the store at once.

The store keeps a digest of each deleted user's id for 31 days. A run looks for new digests in all files, and for all
digests in files that changed since the run before: a flow that had read the user may have written them later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.forgetting.text_files import forget_in_quarantine, forget_in_report
from flows.orchestration import store_step
from recsys.files.atomic_write import atomic_write
from recsys.generation.forgotten_users import forget_users
from recsys.generation.manifest import MANIFEST, GenerationFolder
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.types import Bool
from recsys.user_digest import DeletedUsers, digest_of
from training.data.day_partitions import files_of, keep_rows, read_schema, read_table
from training.data.locations import Location, reaching

CLOCKS_DIFFER = 3_600.0
"""Seconds by which the clocks of hosts and buckets may differ, when the age of a file is judged."""

HANDLED = "deletions.json"
"""The file of `_handled`."""

TIMES = ("arrived", "time", "made_at")
"""The column of a file that says when a row was made, by the store's clock if there is one."""


@store_step
def remove_deleted_users(store: RedisFlowStore, tables: Sequence[Location], home: Path) -> int:
    """Remove deleted users from tables and from the folder of all state; return the number of rows and places.

    tables: folders of Parquet files. What a user did and was shown after the deletion stays. A run after a kill removes
    what is left. A file whose rows are all removed stays, empty: no flow may delete in a bucket.
    """
    start, noted, (entry, last) = time.time(), store.read_deleted_users(), _handled(home)
    deleted = {user.digest: user.at for user in noted}  # the last deletion of a user counts
    new = {user.digest: user.at for user in noted if not entry or _place(user.entry) > _place(entry)}
    removed = 0
    if deleted:
        for file, changed in (each for folder in tables for each in files_of(folder)):
            removed += remove_from(file, deleted if changed >= last - CLOCKS_DIFFER else new)
        for path in _text_files(home):
            which = deleted if path.stat().st_mtime >= last - CLOCKS_DIFFER else new
            with reaching(Location(str(path)), "written"):
                removed += (forget_in_report if path.suffix == ".html" else forget_in_quarantine)(path, which)
        removed += sum(len(forget_in_generation(store, folder, new)) for folder in _generations(home)) if new else 0
        _note_handled(home, noted[-1].entry, start)
    store.drop_old_deletions()
    return removed


def remove_from(file: Location, deleted: DeletedUsers) -> int:
    """Remove the rows of deleted users from a Parquet file; the number of rows."""
    if not deleted:
        return 0
    when = next(name for name in read_schema(file).names if name in TIMES)
    kept = _kept(read_table(file, ["user_id", when]), when, deleted)
    if not kept.all():
        keep_rows(file, kept)
    return int((~kept).sum())


def forget_in_generation(store: RedisFlowStore, folder: GenerationFolder, deleted: DeletedUsers) -> list[str]:
    """Remove users from a generation on this host, and from its copy in the store; return their ids.

    The store lacks them already, unless the generation was published during the deletion.
    """
    with reaching(Location(str(folder.path)), "written"):
        users = forget_users(folder, deleted)
    if users:
        store.forget_records(folder.path.name, folder.manifest.user_buckets, users)
    return users


def _kept(rows: pa.Table, when: str, deleted: DeletedUsers) -> Bool:
    """Which rows stay: those of other users, and those after the deletion."""
    users = pc.unique(rows["user_id"])
    until = [deleted.get(digest_of(user), -np.inf) for user in users.to_pylist()]
    places = pc.index_in(rows["user_id"], users).to_numpy()
    kept: Bool = rows[when].to_numpy() > np.asarray(until, np.float64)[places]
    return kept


def _handled(home: Path) -> tuple[str, float]:
    """The last deletion that a run of this host has handled, and when the run began; each host has its own files."""
    try:
        raw = json.loads((home / HANDLED).read_text(encoding="utf-8"))
        return str(raw["entry"]), float(raw["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0.0


def _note_handled(home: Path, entry: str, at: float) -> None:
    path = home / HANDLED
    home.mkdir(parents=True, exist_ok=True)
    with reaching(Location(str(path)), "written"), atomic_write(path, durable=True) as draft:
        draft.write_text(json.dumps({"entry": entry, "at": at}), encoding="utf-8")


def _text_files(home: Path) -> list[Path]:
    return [*home.glob("reports/*.html"), *home.glob("quarantine/*/*.csv")]


def _generations(home: Path) -> Iterator[GenerationFolder]:
    """The generations on this host. A folder without a manifest is being written: its training removes users itself."""
    return (GenerationFolder(path.parent) for path in sorted(home.glob(f"generations/*/{MANIFEST}")))


def _place(entry: str) -> tuple[int, int]:
    """The place of an entry in its stream."""
    moment, _, count = entry.partition("-")
    return int(moment), int(count)
