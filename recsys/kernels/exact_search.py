"""Exact search for the k best items for each user: a shortlist by approximate integer scores, then exact scores.

A score is the inner product of a user's and an item's embedding. The error of the integer scores has a known bound, so
that the shortlist lacks none of the k best.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.matrix_product import inner
from recsys.kernels.top_k import LOW, NO_KEY, key, score_of

SHARE, ADJACENT = 32, 16
"""One of SHARE rows is in the sample from which the k-th best score is estimated: ADJACENT rows, which share a cache
line of scores, then a gap."""

COLUMNS = 64
"""Numbers of a row that `product` multiplies at once. A constant makes it a fifth faster."""

DEVIATIONS = 2.5
"""Standard deviations by which the estimate is too low on purpose: a too high estimate costs a pass over all rows."""

WORD = 8
"""Bytes of a uint64."""

BUCKETS = 1_024
"""Of the histogram of scores."""

LOWEST = -(2**31)


@compiled
def find(scores, margins, shown, k, users, items, keys, counts):
    """Write the sort keys of all rows that may be among the k best of each user into keys [B, room] uint64.

    scores: [B, n] int32. margins: [B] int64, see `quantize_users`. shown: [n] bool, k rows at least. counts: [B] int64,
    the keys of each user, -1 if more than `room` rows may be among the k best. Keys behind a user's last one are
    NO_KEY, up to the largest count.
    """
    n = scores.shape[1]
    rows, sample = np.empty(n + WORD, np.int32), np.empty(n, np.int32)
    reach = np.zeros((n // WORD + 1) * WORD, np.uint8)
    for query in range(len(scores)):
        bound = kth_score(scores, query, shown, k, SHARE, sample)
        count = rows_above(scores, query, shown, bound - margins[query], reach, rows)
        if reaching(scores, query, rows, count, bound) < k:  # the estimate is too high
            bound = kth_score(scores, query, shown, k, 1, sample)
            count = rows_above(scores, query, shown, bound - margins[query], reach, rows)
        for at in range(count):
            sample[at] = scores[query, rows[at]]
        bound = reached(sample, count, k) - margins[query]
        kept = 0
        for at in range(count):
            rows[kept] = rows[at]
            kept += sample[at] >= bound
        counts[query] = kept if kept <= keys.shape[1] else -1
        if counts[query] >= 0:
            rescore(users, query, items, rows, kept, keys)
    most = counts.max()
    for query in range(len(scores)):
        for at in range(max(counts[query], 0), most):
            keys[query, at] = NO_KEY


@compiled
def product(table, query, out):
    """Inner products of rows of table [n, W, COLUMNS] int8 with a query [W, COLUMNS] int16 into out [1, n] int32."""
    for row in range(len(table)):
        total = np.int32(0)
        for part in range(table.shape[1]):
            for column in range(COLUMNS):
                product = np.int32(np.int32(table[row, part, column]) * np.int32(query[part, column]))
                total = np.int32(total + product)
        out[0, row] = total


@compiled
def kth_score(scores, query, shown, k, share, sample):
    """A score that probably k shown rows reach, estimated from one row in `share`; with share 1 k rows do reach it."""
    taken, n = 0, scores.shape[1]
    for start in range(0, n, ADJACENT * share):
        for row in range(start, min(start + ADJACENT, n)):
            sample[taken] = scores[query, row]
            taken += shown[row]
    wanted = k
    if share > 1:
        wanted = k // share + int(DEVIATIONS * np.sqrt(k / share)) + 1
    return reached(sample, taken, wanted) if taken >= wanted else np.int64(LOWEST)


@compiled
def reached(scores, count, k):
    """A score that at least k of the first `count` scores reach, and hardly more: the lower edge of a bucket."""
    low, high = scores[0], scores[0]
    for at in range(count):
        low, high = min(low, scores[at]), max(high, scores[at])
    shift = 0
    while (np.int64(high) - low) >> shift >= BUCKETS:
        shift += 1
    filled = np.zeros(BUCKETS, np.int32)
    for at in range(count):
        filled[(np.int64(scores[at]) - low) >> shift] += 1
    bucket, above = BUCKETS, 0
    while above < k:
        bucket -= 1
        above += filled[bucket]
    return np.int64(low) + (np.int64(bucket) << shift)


@compiled
def rows_above(scores, query, shown, bound, reach, rows):
    """Write the shown rows whose score reaches a bound into `rows`, ascending; how many.

    reach: [n or more] uint8, zero behind n. Few rows reach the bound, so WORD bytes of it are tested at once.
    """
    count, least = 0, np.int32(max(bound, LOWEST))
    for row in range(scores.shape[1]):
        reach[row] = np.uint8(scores[query, row] >= least) & np.uint8(shown[row])
    words = reach.view(np.uint64)
    for word in range(len(words)):
        if words[word]:
            for row in range(WORD * word, WORD * (word + 1)):
                rows[count] = row
                count += reach[row]
    return count


@compiled
def reaching(scores, query, rows, count, bound):
    """How many of the first `count` rows have a score that reaches a bound."""
    found = 0
    for at in range(count):
        found += scores[query, rows[at]] >= bound
    return found


@compiled
def rescore(users, query, items, rows, count, keys):
    """Write the sort keys of the first `count` rows by their inner products with a user into keys[query]."""
    for at in range(count):
        keys[query, at] = key(inner(users, query, items, rows[at]), rows[at])


@compiled
def read_keys(keys, found, scores):
    """The rows and scores of sorted keys [B, at least k]: both [B, k]. Behind the last key both stay as they are."""
    for query in range(len(found)):
        for at in range(min(found.shape[1], keys.shape[1])):
            if keys[query, at] != NO_KEY:
                found[query, at], scores[query, at] = np.int32(keys[query, at] & LOW), score_of(keys[query, at])
