"""What may be among the best of the clusters nearest to a user, by scores that are nearly right."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.products import ROWS, products
from recsys.kernels.search import LISTED, SPARE, narrow
from recsys.kernels.words import lowest

BEYOND = ROWS + SPARE
"""Rows behind a table that may be read: ROWS are looked at together, in pieces that are wider than a narrow row."""


@compiled(makes_arrays=True)
def look_among(table, rows, starts, nearest, queries, margins, shown, k, bounds, listed, scores, counts):
    """List what may be among the k best of clusters nearest [B, P] to each query, as `search.scan` does of all rows.

    table: [n + BEYOND, W] int8, the items' bytes as they stand in the clusters, and what is read and does not count.
    rows, starts: of `retrieval.clusters`. queries, margins, shown, k, listed, scores, counts: as of `search.scan`, but
    that fewer than k are listed where no more stand there and are shown. bounds: [B], below all scores.
    """
    of = np.empty(ROWS, np.int32)
    for query in range(len(queries)):
        count, limit = np.int64(0), LISTED * k
        for at in range(nearest.shape[1]):
            cluster = nearest[query, at]
            past = starts[cluster + 1]
            for first in range(starts[cluster], past, ROWS):
                bits = products(table, first, queries, query, bounds[query], of)
                while bits:
                    place = lowest(bits)
                    bits &= bits - np.uint32(1)
                    if first + place < past and shown[rows[first + place]]:
                        listed[query, count], scores[query, count] = rows[first + place], of[place]
                        count += 1
                if count > limit:
                    counts[query] = count
                    narrow(query, margins, k, bounds, listed, scores, counts)
                    count = counts[query]
                    limit = max(LISTED * count, limit)
                    if count < 0:
                        break
            if count < 0:
                break
        counts[query] = count
        if count > k:
            narrow(query, margins, k, bounds, listed, scores, counts)
