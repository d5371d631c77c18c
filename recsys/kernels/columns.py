"""Columns of features for the candidates of a batch of queries.

Where nothing else is said: items [B, K] int32 candidates of which the first counts [B] of each query are real and
distinct. What is computed goes into x [B, F, K] float32, a row a feature, from row `first` on, and to real candidates
alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.ballot import ballot, leave, may_be_one, place_of, seat
from recsys.kernels.compiled import compiled
from recsys.kernels.keys import key
from recsys.kernels.layers import LANES, UNITS, layer
from recsys.kernels.spans import gap, wait
from recsys.kernels.tables import ahead, locate, soon
from recsys.kernels.turn import turn


class Rows(NamedTuple):
    """Which rows of x hold what; of several that stand together, the first. Covisit and follow have as many each.

    slowest, slow: which of the votes, by covisit and by ease, candidates are ordered by.
    """

    tower: int
    tower_gap: int
    covisit: int
    slowest: int
    covisit_share: int
    follow: int
    ease: int
    slow: int
    likeness: int
    popularity: int
    decayed: int
    momentum: int
    age: int
    affinity: int
    repeats: int
    told: int
    lifts: int
    flags: int


@compiled(makes_arrays=True)
def votes(rows, weights, voters, powers, items, counts, x, first):
    """Add up what the neighbours of the newest items of a history give each candidate: D rows.

    rows, weights: [n, M]. voters: [B, R] int32, newest first, PAD for none. powers: [D, R] float32, each decay to the
    steps.
    """
    n, width = rows.shape
    seats = ballot(n)
    added = np.zeros((len(powers), items.shape[1]), np.float64)
    for query in range(len(items)):
        count = counts[query]
        seat(seats, items[query], count)
        added[:] = 0
        for step in range(voters.shape[1]):
            soon(rows, weights, voters, query, step)
            voter = voters[query, step]
            if voter < 0 or voter >= n:
                continue
            for column in range(width):
                row = rows[voter, column]
                if not may_be_one(seats, row):
                    continue
                at = place_of(seats, row)
                if at >= 0:
                    weight = weights[voter, column]
                    for index in range(len(powers)):
                        added[index, at] += np.float64(weight * powers[index, step])
        for index in range(len(powers)):
            for at in range(count):
                x[query, first + index, at] = added[index, at]
        leave(seats, items[query], count)


@compiled
def tell(items, past, times, now, steps, logs, counts, told):
    """How many of items [B, K] are real, and what is told of every candidate of a query alike, into told [B, 3].

    past: [B, H] int32, times: [B, H] float64, now: [B]. Told are the log of how long the history is, and the steps of
    `time_features` since its newest event and between the newest two, as shares of all `steps`. logs: log(1 + x) of x.
    """
    whole, newest = np.float32(steps), past.shape[1] - 1
    for query in range(len(items)):
        count, length = 0, 0
        for at in range(items.shape[1]):
            count += items[query, at] >= 0
        for at in range(past.shape[1]):
            length += past[query, at] >= 0
        counts[query] = count
        told[query, 0] = logs[length]
        told[query, 1] = np.float32(wait(past, times, now, query, steps)) / whole
        told[query, 2] = np.float32(gap(past, times, query, newest, steps)) / whole


@compiled(makes_arrays=True)
def likeness(embeddings, past, within, items, steps, counts, x, first):
    """Inner products of each candidate with the newest `steps` of the history, the largest and the mean of `within`.

    embeddings: a `Table` [n, D]. past: [B, H] int32, newest last; what is missing counts as 0. steps + 2 rows.
    """
    base, late, tail = embeddings
    n, dim, blocks = len(base), base.shape[1], -(-within // UNITS)
    newest, sums = np.empty((blocks, 1 + dim, UNITS), np.float32), np.empty((blocks * UNITS, LANES), np.float32)
    room = -(-dim // LANES) * LANES
    rows, tile = np.zeros((LANES, room), np.float32), np.empty((room, LANES), np.float32)
    best, mean, zero = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.float32(0)
    for query in range(len(items)):
        newest[:] = 0
        for back in range(min(within, past.shape[1])):
            row = locate(n, late, past[query, past.shape[1] - 1 - back])
            for unit in range(dim if row >= 0 else 0):
                newest[back // UNITS, 1 + unit, back % UNITS] = base[row, unit] if row < n else tail[row - n, unit]
        of, count = x[query], counts[query]
        for start in range(0, count, LANES):
            stop = min(LANES, count - start)
            for lane in range(stop):
                ahead(base, items, query, start + lane, count)
                row = locate(n, late, items[query, start + lane])
                if 0 <= row < n:
                    for unit in range(dim):
                        rows[lane, unit] = base[row, unit]
                else:
                    for unit in range(dim):
                        rows[lane, unit] = tail[row - n, unit] if row >= 0 else zero
            turn(rows, tile)
            layer(newest, tile, sums)
            best[:], mean[:] = sums[0], sums[0]
            for back in range(1, within):
                for lane in range(LANES):
                    best[lane] = max(best[lane], sums[back, lane])
                    mean[lane] += sums[back, lane]
            for back in range(steps):
                for lane in range(stop):
                    of[first + back, start + lane] = sums[back, lane]
            for lane in range(stop):
                of[first + steps, start + lane] = best[lane]
                of[first + steps + 1, start + lane] = mean[lane] / np.float32(within)


@compiled(makes_arrays=True)
def affinity(content, vocabulary, past, items, counts, x, first):
    """The share of content tokens that a candidate's tokens cover, averaged over its tokens: two rows.

    The tokens are those of the whole history, and those of its newest item. content: a `Table` [n, C] of tokens, 0 for
    none. past: [B, H] int32.
    """
    base, late, tail = content
    n, columns = content.base.shape
    met, times = np.empty(past.shape[1] * columns, np.int32), np.zeros((vocabulary, 2), np.int32)
    for query in range(len(items)):
        distinct, told, lately = 0, 0, 0
        for at in range(past.shape[1] - 1, -1, -1):
            row = locate(n, late, past[query, at])
            for column in range(columns if row >= 0 else 0):
                token = base[row, column] if row < n else tail[row - n, column]
                if 0 < token < vocabulary:
                    if times[token, 0] == 0:
                        met[distinct] = token
                        distinct += 1
                    times[token, 0] += 1
                    told += 1
                    if at == past.shape[1] - 1:
                        times[token, 1] += 1
                        lately += 1
        for at in range(counts[query]):
            ahead(base, items, query, at, counts[query])
            row = locate(n, late, items[query, at])
            covered, covered_lately, known = 0, 0, 0
            for column in range(columns if row >= 0 else 0):
                token = base[row, column] if row < n else tail[row - n, column]
                if 0 < token < vocabulary:
                    known += 1
                    covered += times[token, 0]
                    covered_lately += times[token, 1]
            x[query, first, at] = covered / max(told * known, 1)
            x[query, first + 1, at] = covered_lately / max(lately * known, 1)
        for at in range(distinct):
            times[met[at], 0], times[met[at], 1] = 0, 0


@compiled(makes_arrays=True)
def repeats(history, powers, items, counts, x, first):
    """How often each candidate stands in a history [B, H], and powers [H] of the steps since it last did: two rows."""
    seats = ballot(0)  # no marks: a row is asked for once a step, and those of fresh items may be anything
    for query in range(len(items)):
        seat(seats, items[query], counts[query])
        often, lately = x[query, first], x[query, first + 1]
        step = 0
        for back in range(history.shape[1] - 1, -1, -1):
            row = history[query, back]
            if row < 0:
                continue
            at = place_of(seats, row)
            if at >= 0:
                if often[at] == 0:
                    lately[at] = powers[step]
                often[at] += 1
            step += 1
        leave(seats, items[query], counts[query])


@compiled
def groups(contexts, starts, hours, saturday, out):
    """Which column of a table of lifts stands for each group of contexts [B, C] uint8, into out [B, G] int64.

    -1 where it is unknown. starts: [G + 1] int32, group g is columns starts[g] to starts[g + 1], the last of them for
    all values that have none of their own. The first two of a context are its hour and its weekday from 1, told
    coarsely: in parts of so many hours, and whether it is `saturday` at least.
    """
    for query in range(len(contexts)):
        for group in range(len(starts) - 1):
            value = np.int64(contexts[query, group])
            if value and group == 0:
                value = (value + hours - 1) // hours
            elif value and group == 1:
                value = 1 + (value >= saturday)
            width = starts[group + 1] - starts[group]
            out[query, group] = starts[group] + min(value, width) - 1 if value and width else -1


@compiled
def lifts(table, columns, clock, items, counts, x, first):
    """Lifts of each candidate in a query's context: of the clock's parts, and the mean of the other columns known.

    table: [n, V] float32. columns: [B, G] int64, -1 where unknown, the first `clock` of them the clock's. clock + 1
    rows.
    """
    n, groups = len(table), columns.shape[1]
    for query in range(len(items)):
        known = 0
        for group in range(clock, groups):
            known += columns[query, group] >= 0
        for at in range(counts[query]):
            ahead(table, items, query, at, counts[query])
            row = items[query, at]
            total = np.float32(0)
            for group in range(groups):
                column = columns[query, group]
                lift = table[row, column] if column >= 0 and row < n else np.float32(0)
                if group < clock:
                    x[query, first + group, at] = lift
                else:
                    total += lift
            x[query, first + clock, at] = total / np.float32(max(known, 1))


@compiled
def derive(x, rows, items, counts, tower, sources, flags, popularity, age, told, scale, order):
    """What is looked up or made of votes, before logarithms, and what each is ordered by: keys as in `kernels.keys`.

    rows: `Rows`. tower, sources: [B, K]. flags: [S] uint16. popularity: [n, W] and age: [n], 0 of rows from n on. told:
    [B, T], the same for every candidate of a query. scale: of votes by covisit and follow. order: [B, 4, K] uint64 for
    tower, slowest votes of covisit, votes of ease and decayed popularity; what is not real comes last.
    """
    n, windows = popularity.shape
    spread = rows.slowest - rows.covisit + 1
    for query in range(len(x)):
        of, count = x[query], counts[query]
        best, most = np.float32(-np.inf), np.float32(1e-6)
        for at in range(count):
            best = max(best, tower[query, at])
        for row in range(spread):
            for at in range(count):
                of[rows.covisit + row, at] *= scale
                of[rows.follow + row, at] *= scale
        for at in range(count):
            most = max(most, of[rows.slowest, at])
        for at in range(count):
            ahead(popularity, items, query, at, count)
            ahead(age, items, query, at, count)
            of[rows.tower, at] = tower[query, at]
            of[rows.tower_gap, at] = tower[query, at] - best
            of[rows.covisit_share, at] = of[rows.slowest, at] / most
            row = items[query, at]
            if row < n:
                of[rows.age, at] = age[row]
                for window in range(windows):
                    of[rows.popularity + window, at] = popularity[row, window]
        for index in range(told.shape[1]):
            of[rows.told + index, :count] = told[query, index]
        for index in range(len(flags)):
            for at in range(count):
                of[rows.flags + index, at] = (sources[query, at] & flags[index]) != 0
        bits = of.view(np.uint32)
        for index, row in enumerate((rows.tower, rows.slowest, rows.slow, rows.decayed)):
            for at in range(count):
                order[query, index, at] = key(bits[row, at] if of[row, at] != 0 else np.uint32(0), at)  # -0 becomes 0
            order[query, index, count:] = np.uint64(2**64 - 1)


@compiled
def settle(x, rows, counts, order, ranks, logs):
    """What needs logarithms and orders: the momentum of popularity, and the log of each place into the rows `ranks`."""
    for query in range(len(x)):
        of, count = x[query], counts[query]
        for at in range(count):
            of[rows.momentum, at] = of[rows.popularity + 2, at] - of[rows.popularity + 1, at]
        for index in range(len(ranks)):
            for place in range(count):
                of[ranks[index], order[query, index, place] & np.uint64(2**32 - 1)] = logs[place]
