"""Which rows may be among the best, by scores that are nearly right: no table of scores, one pass and a sixteenth.

A score that k rows reach is guessed from some rows; all that is at most a margin below is listed, and the guess is
raised while the list grows. In the end it is looked whether k rows do reach the guess; if not, that query starts anew
without one.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.asking import ask
from recsys.kernels.compiled import compiled
from recsys.kernels.keys import LOW, key, score_of
from recsys.kernels.products import LANES, ROWS, products
from recsys.kernels.sources import inner
from recsys.kernels.tables import ahead
from recsys.kernels.words import ROWS as WIDE
from recsys.kernels.words import Wide, dots, lowest

TILE = 128
"""Rows that one query after the other is multiplied with: their bytes stay in a core's first cache meanwhile."""

SHARE = TILE // ROWS
"""Of so many rows one is looked at for the guess: the first ROWS of each tile."""

STREAMS = 4
"""Places of a table that are read from in turns: what fetches ahead in a processor does so for each.

Of 100,000 rows that no cache has, one stream took .44 ms and four .28; of rows that the third has, .23 and .17.
"""

SPARE = 4
"""Rows at the table's end that are copied: what is read in pieces of 16 bytes reads past the end of a row."""

LISTED, GUESSED = 2, 4
"""Times what is looked for is listed before the list is narrowed; of a guess, which looks for few, more: a look at
what k of 1,500 reach takes 5 us by itself, and 35 where no cache has it."""

WIDE_SHARE = 16
"""Of so many rows one is looked at for the guess, where rows are looked at WIDE at once."""

NO_KEY = np.uint64(2**64 - 1)

BUCKETS = 1_024
"""Into which scores are sorted, to find one that k of them reach."""


@compiled(makes_arrays=True)
def scan(table, end, queries, wide, margins, shown, k, least, rows, scores, counts):
    """List what may be among the k best of each query: rows and scores [B, room], as many as counts [B] says.

    table: [n, W] int8, W at least 4. end: its last rows, as of `last`. queries: [B, chunks, LANES] int16, as wide as W
    and zero beyond. wide: the same as words, where rows are to be looked at WIDE at once. margins: [B] int64. shown:
    [n] bool, k of them at least. least: below all scores. room: LISTED k + 2 TILE at least; GUESSED times a sixteenth
    of k is less. counts: -1 where more than half of the room would be taken, since very many rows have nearly one
    score. Rows are listed in no order.
    """
    n = len(table)
    bounds, guesses = np.full(len(queries), least, np.int32), np.full(len(queries), least, np.int64)
    counts[:] = 0
    share = WIDE_SHARE if len(wide.words) else SHARE
    some = k // share + 4 * int(np.sqrt(k / share)) + 4
    if n > 4 * share * some:
        none = np.zeros_like(margins)
        look(table, end, queries, wide, none, shown, some, True, bounds, rows, scores, counts)
        for query in range(len(queries)):
            if counts[query] >= some:
                guesses[query] = reached(scores[query, : counts[query]], some)
            bounds[query] = max(guesses[query] - margins[query], least)
        counts[:] = 0
    look(table, end, queries, wide, margins, shown, k, False, bounds, rows, scores, counts)
    for query in range(len(queries)):
        count = counts[query]
        if count >= 0 and (count < k or reached(scores[query, :count], k) < guesses[query]):
            of = slice(query, query + 1)
            bounds[query], counts[query] = least, 0
            asked = queries[of], Wide(wide.words, wide.halves[of], wide.less[of]), margins[of]
            look(table, end, *asked, shown, k, False, bounds[of], rows[of], scores[of], counts[of])
        if counts[query] > k:
            narrow(query, margins, k, bounds, rows, scores, counts)


@compiled
def stream_of(n):
    """Rows that each of STREAMS has of a table of n rows: a whole number of ROWS, none of them at the table's end."""
    return max(n - SPARE, 0) // (STREAMS * ROWS) * ROWS


@compiled(makes_arrays=True)
def last(table, width):
    """The rows of a table behind its streams, padded to a whole number of ROWS and of pieces that can be read."""
    rest = STREAMS * stream_of(len(table))
    end = np.zeros(((STREAMS + 1) * ROWS, width), np.int8)
    for row in range(rest, len(table)):
        for column in range(table.shape[1]):
            end[row - rest, column] = table[row, column]
    return end


@compiled
def look(table, end, queries, wide, margins, shown, k, some, bounds, rows, scores, counts):
    """List what is not below a bound, which rises with the k-th best; some: of the rows that are for the guess."""
    if len(wide.words):
        look_wide(wide, margins, shown, k, some, bounds, rows, scores, counts)
    else:
        look_narrow(table, end, queries, margins, shown, k, some, bounds, rows, scores, counts)


@compiled(makes_arrays=True)
def look_narrow(table, end, queries, margins, shown, k, some, bounds, rows, scores, counts):
    """See `look`: ROWS at once, from each stream of the table in turns; what is left over comes at the end."""
    of, stream = np.empty(ROWS, np.int32), stream_of(len(table))
    rest = STREAMS * stream
    tile, apart = (TILE, TILE) if some else (TILE // STREAMS, ROWS)  # rows of a stream
    limits = np.full(len(queries), (GUESSED if some else LISTED) * k, np.int64)
    for start in range(0, stream + tile, tile):
        for query in range(len(queries)):
            count, bound = counts[query], bounds[query]
            if count < 0:
                continue
            for place in range(start, min(start + tile, stream), apart):
                for row in range(place, rest, stream):
                    bits = products(table, row, queries, query, bound, of)
                    count = listed(bits, of, row, shown, query, rows, scores, count)
            if start >= stream:
                for row in range(rest, len(table), apart):
                    bits = products(end, row - rest, queries, query, bound, of)
                    count = listed(bits, of, row, shown, query, rows, scores, count)
            counts[query] = count
            if count > limits[query]:
                narrow(query, margins, k, bounds, rows, scores, counts)
                limits[query] = max(LISTED * counts[query], limits[query])


@compiled(makes_arrays=True)
def look_wide(wide, margins, shown, k, some, bounds, rows, scores, counts):
    """See `look`: WIDE at once."""
    n, of = len(shown), np.empty(WIDE, np.int32)
    tile, apart = (WIDE, WIDE_SHARE * WIDE) if some else (TILE, TILE)
    limits = np.full(len(counts), (GUESSED if some else LISTED) * k, np.int64)
    for start in range(0, n, apart):
        for query in range(len(counts)):
            count, bound = counts[query], bounds[query]
            if count < 0:
                continue
            for row in range(start, min(start + tile, n), WIDE):
                bits = dots(wide.words, row // WIDE, wide.halves, query, wide.less[query], bound, of)
                count = listed(bits, of, row, shown, query, rows, scores, count)
            counts[query] = count
            if count > limits[query]:
                narrow(query, margins, k, bounds, rows, scores, counts)
                limits[query] = max(LISTED * counts[query], limits[query])


@compiled
def listed(bits, of, first, shown, query, rows, scores, count):
    """List the rows from `first` on that have a bit and are shown, and their scores `of`; how many are listed then."""
    while bits:
        place = lowest(bits)
        bits &= bits - np.uint32(1)
        if first + place < len(shown) and shown[first + place]:
            rows[query, count], scores[query, count] = first + place, of[place]
            count += 1
    return count


@compiled
def narrow(query, margins, k, bounds, rows, scores, counts):
    """Drop what is listed and too far below a score that k of it reach."""
    count, of = counts[query], scores[query]
    bound = max(reached(of[:count], k) - margins[query], bounds[query])
    kept = np.int64(0)
    for at in range(count):
        row, score = rows[query, at], of[at]
        rows[query, kept], of[kept] = row, score
        kept += np.int64(score >= bound)
    bounds[query] = bound
    counts[query] = kept if 2 * (kept + TILE) <= rows.shape[1] else -1


@compiled(makes_arrays=True)
def reached(scores, k):
    """A score that at least k of `scores` reach, and hardly more of them: they are counted in buckets, not sorted."""
    low, high = scores[0], scores[0]
    for score in scores:
        low, high = min(low, score), max(high, score)
    buckets = min(BUCKETS, 4 * len(scores))
    scale = (buckets - 1) / max(np.float64(high) - np.float64(low), 1e-300)
    filled = np.zeros(buckets, np.int32)
    for score in scores:
        filled[int((np.float64(score) - low) * scale)] += 1
    bucket, above = buckets - 1, filled[buckets - 1]
    while above < k:
        bucket -= 1
        above += filled[bucket]
    least = high
    for score in scores:
        if int((np.float64(score) - low) * scale) >= bucket:
            least = min(least, score)
    return least


@compiled
def rescore(users, items, rows, counts, score, bits, keys):
    """Keys to sort rows [B, room] of items by that are listed: inner products with users [B, d].

    score: [1] float32 to compute in, bits: the same memory as uint32. keys: [B, room] uint64, as of
    `recsys.kernels.keys`: they ascend as scores descend, and of equal ones as rows do; behind a query's last one, up to
    where others have some, stand the largest.
    """
    most = np.int64(0)
    for query in range(len(users)):
        most = max(most, counts[query])
    for query in range(len(users)):
        count = max(counts[query], 0)
        for at in range(count):
            ahead(items, rows, query, at, count)
            row = rows[query, at]
            score[0] = inner(users[query], items[row]) + np.float32(0)  # -0 becomes 0
            keys[query, at] = key(bits[0], row)
        for at in range(count, most):
            keys[query, at] = NO_KEY


@compiled(makes_arrays=True)
def find(
    users,
    norms,
    items,
    table,
    end,
    words,
    off,
    long,
    step,
    product_off,
    product_least,
    most,
    least,
    farthest,
    below,
    shown,
    k,
    keys,
    counts,
):
    """`ask`, `scan` and `rescore` in one: after a scan has driven all else from the cache, Python would be slow.

    off to product_least: of what `asking.margins_of` is told of a table. most, least, farthest: as of `ask`. below: all
    scores. words: as of `Wide`, or none. keys: [B, room] uint64, of which those before counts [B] are written; counts
    are -1 where those of `scan` are.
    """
    batch, room, width = len(users), keys.shape[1], table.shape[1]
    queries, margins = np.zeros((batch, end.shape[1]), np.int16), np.empty(batch, np.int64)
    halves = np.empty((batch if len(words) else 0, 2, width), np.int8)
    wide = Wide(words, halves.view(np.int32), np.empty(len(halves), np.int32))
    of = off, long, step, product_off, product_least
    ask(users, norms, of, most, least, farthest, queries, margins, halves, wide.less)
    rows, scores = np.empty((batch, room), np.int32), np.empty((batch, room), np.int32)
    asked = queries.reshape(batch, end.shape[1] // LANES, LANES)
    scan(table, end, asked, wide, margins, shown, k, below, rows, scores, counts)
    product = np.empty(1, np.float32)
    rescore(users, items, rows, counts, product, product.view(np.uint32), keys)


@compiled
def pick(keys, found, bits):
    """The rows and scores of sorted keys [B, at least k], into found [B, k] and bits [B, k], of float32 as uint32.

    Where keys end, those stay as they are.
    """
    for query in range(len(found)):
        for at in range(min(found.shape[1], keys.shape[1])):
            if keys[query, at] != NO_KEY:
                found[query, at], bits[query, at] = np.int32(keys[query, at] & LOW), score_of(keys[query, at])


@compiled
def passing(content, bits, every, out):
    """Which rows of content [n, C] int32 have a token for every bit, into out [n] bool.

    bits: [V] uint8, those of each token. every: uint8, all of them.
    """
    for row in range(len(content)):
        met = np.uint8(0)
        for column in range(content.shape[1]):
            token = content[row, column]
            if 0 <= token < len(bits):
                met |= bits[token]
        out[row] = met == every
