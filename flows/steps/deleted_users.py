"""Remove users from the files of impressions and events after `DELETE /users/{id}`, which reaches the store at once.

The store has a digest of each deleted user's id until a run has removed the user's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.orchestration import store_step
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import DeletedUser
from recsys.types import Bool
from training.data.day_partitions import by_day, keep_rows, read_schema, read_table
from training.data.locations import Location


@store_step
def remove_deleted_users(store: RedisFlowStore, folders: Sequence[Location]) -> int:
    """Remove what deleted users were shown and did before their deletion; return the number of rows.

    A run after a kill removes what is left. A file whose rows are all removed stays, empty: no flow may delete in a
    bucket.
    """
    noted = store.read_deleted_users()
    deleted = {user.digest: user.at for user in noted}  # the last deletion of a user counts
    files = [file for folder in folders for of_day in by_day(folder).values() for file in of_day] if deleted else []
    removed = sum(remove_from(file, deleted) for file in files)
    store.drop_deleted_users([user.entry for user in noted])
    return removed


def remove_from(file: Location, deleted: Mapping[bytes, float]) -> int:
    """Remove the rows of deleted users from a file of impressions or events; the number of rows.

    deleted: when each user was deleted, by the digest of the id.
    """
    names = read_schema(file).names
    when = "arrived" if "arrived" in names else "time"  # of events by the store's clock, not as the caller sent it
    kept = _kept(read_table(file, ["user_id", when]), when, deleted)
    if not kept.all():
        keep_rows(file, kept)
    return int((~kept).sum())


def _kept(rows: pa.Table, when: str, deleted: Mapping[bytes, float]) -> Bool:
    """Which rows stay: those of other users, and those after the deletion."""
    users = pc.unique(rows["user_id"])
    until = [deleted.get(DeletedUser.digest_of(user), -np.inf) for user in users.to_pylist()]
    places = pc.index_in(rows["user_id"], users).to_numpy()
    kept: Bool = rows[when].to_numpy() > np.asarray(until, np.float64)[places]
    return kept
