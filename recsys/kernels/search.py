"""Which rows may be among the best, by scores that are nearly right."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled

LEAST = np.int32(-(2**31))
"""The score of a row that may not be found."""


@compiled
def shortlist(scores, k, margins, blocks, out, counts):
    """Every row whose score is at most a margin below some bound that k rows reach; counts of them [B].

    scores: [B, n] int32, LEAST for what may not be found. margins: [B] int64. blocks: at least k and at most n. out:
    [B, n] int32. The bound is the k-th largest of the best scores of blocks: k rows reach it, and hardly more.
    """
    n = scores.shape[1]
    best, starts = np.empty(blocks, np.int32), np.empty(blocks + 1, np.int64)
    for block in range(blocks + 1):
        starts[block] = block * n // blocks
    for query in range(len(scores)):
        of = scores[query]
        for block in range(blocks):
            most = of[starts[block]]
            for row in range(starts[block] + 1, starts[block + 1]):
                most = max(most, of[row])
            best[block] = most
        bound = np.int64(np.partition(best, blocks - k)[blocks - k]) - margins[query]
        bound = max(bound, np.int64(LEAST) + 1)
        count = 0
        for block in range(blocks):
            if best[block] >= bound:
                for row in range(starts[block], starts[block + 1]):
                    if of[row] >= bound:
                        out[query, count] = row
                        count += 1
        counts[query] = count
