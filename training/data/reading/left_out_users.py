"""Leave out the rows of users who were deleted by `DELETE /users/{id}` after the rows' times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys.types import Bool
from recsys.user_digest import DeletedUsers, digest_of
from training.data.reading.cells import text_of


def kept_rows(users: pd.Series, times: pd.Series, deleted: DeletedUsers) -> Bool:
    """Which rows stay: those of other users, and those after the deletion. times: unix seconds, NaN for no time."""
    if not deleted:
        return np.ones(len(users), bool)
    codes, ids = pd.factorize(users)
    until = np.array([deleted.get(digest_of(text_of(user) or ""), -np.inf) for user in ids] + [-np.inf])[codes]
    kept: Bool = (times.to_numpy(np.float64) > until) | np.isneginf(until)
    return kept
