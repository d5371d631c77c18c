"""Leave out the rows of users who were deleted by `DELETE /users/{id}` after the rows' times."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from recsys.types import Bool
from recsys.user_digest import DeletedUsers, digest_of
from training.read.cells import text_of
from training.read.times import DAY


def kept_rows(users: pd.Series, times: pd.Series, deleted: DeletedUsers) -> Bool:
    """Which rows stay: those of other users, and those after the deletion.

    times: unix seconds, NaN for no time. A time that is more than a day ahead is no time.
    """
    if not deleted:
        return np.ones(len(users), bool)
    codes, ids = pd.factorize(users)
    until = np.array([deleted.get(digest_of(text_of(user) or ""), -np.inf) for user in ids] + [-np.inf])[codes]
    moments = times.to_numpy(np.float64)
    kept: Bool = ((moments > until) & (moments < time.time() + DAY)) | np.isneginf(until)
    return kept
