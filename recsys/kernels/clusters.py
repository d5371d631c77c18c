"""Which rows stand in the clusters nearest to a user."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled


@compiled
def gather(nearest, rows, starts, shown, listed, counts):
    """List the rows of clusters nearest [B, P] that are shown, into listed [B, room]; how many, into counts [B].

    nearest: int32, -1 for none. rows, starts: as of `recsys.clusters`. shown: [n] bool. room: what the largest P
    clusters have.
    """
    for query in range(len(nearest)):
        count = np.int64(0)
        for at in range(nearest.shape[1]):
            cluster = nearest[query, at]
            if cluster < 0:
                continue
            for place in range(starts[cluster], starts[cluster + 1]):
                # Written whether it stays or not: a jump that nobody can foresee takes longer.
                listed[query, count] = rows[place]
                count += np.int64(shown[rows[place]])
        counts[query] = count
