"""Remove users from the files of impressions after `DELETE /users/{id}`, which reaches the store alone at once.

The store has a digest of each deleted user's id until a run has removed the user's rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.orchestration import store_step
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import DeletedUser
from recsys.types import Bool
from training.data.impressions import by_day
from training.data.locations import Location, reaching, writing


@store_step
def remove_deleted_users(store: RedisFlowStore, folder: Location) -> int:
    """Remove the rows of slates that deleted users got before their deletion; return the number of rows.

    A run after a kill removes what is left. A file whose rows are all removed stays, empty: no flow may delete in a
    bucket.
    """
    noted = store.read_deleted_users()
    deleted = {user.digest: user.at for user in noted}  # the last deletion of a user counts
    removed = sum(_remove(file, deleted) for files in by_day(folder).values() for file in files) if deleted else 0
    store.drop_deleted_users([user.entry for user in noted])
    return removed


def _remove(file: Location, deleted: Mapping[bytes, float]) -> int:
    """The number of rows that were removed from a file."""
    with reaching(file, "read"):
        kept = _kept(pq.read_table(file.path, filesystem=file.filesystem(), columns=["user_id", "time"]), deleted)
        if kept.all():
            return 0
        table = pq.read_table(file.path, filesystem=file.filesystem(), partitioning=None)
    with writing(file) as scratch:
        pq.write_table(table.filter(pa.array(kept)), scratch)
    return int((~kept).sum())


def _kept(rows: pa.Table, deleted: Mapping[bytes, float]) -> Bool:
    """Which rows stay: those of other users, and of slates after the deletion."""
    users = pc.unique(rows["user_id"])
    until = [deleted.get(DeletedUser.digest_of(user), -np.inf) for user in users.to_pylist()]
    places = pc.index_in(rows["user_id"], users).to_numpy()
    kept: Bool = rows["time"].to_numpy() > np.asarray(until, np.float64)[places]
    return kept
