"""Columns of features for the candidates of a batch of queries.

In all of them: items [B, K] int32 candidates of which the first counts [B] of each query are real and distinct. What is
computed goes into x [B, F, K] float32, a row a feature, from row `first` on, and to real candidates alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.ballot import ballot, leave, may_be_one, place_of, seat
from recsys.kernels.compiled import compiled
from recsys.kernels.sources import count

_SIGN, _REST = np.uint32(1 << 31), np.uint32(2**31 - 1)


class Rows(NamedTuple):
    """Which rows of x hold what; of several that stand together, the first. Covisit and follow have as many each."""

    tower: int
    tower_gap: int
    covisit: int
    slowest: int
    covisit_share: int
    follow: int
    ease: int
    popularity: int
    decayed: int
    momentum: int
    age: int
    told: int
    flags: int


@compiled
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
def likeness(alike, steps, counts, x, first):
    """The likeness of each candidate to the newest `steps` of the history, the largest and the mean: steps + 2 rows.

    alike: [B, W, K].
    """
    width = alike.shape[1]
    best, mean = first + steps, first + steps + 1
    for query in range(len(alike)):
        of = x[query]
        for step in range(width):
            for at in range(counts[query]):
                like = alike[query, step, at]
                if step < steps:
                    of[first + step, at] = like
                of[best, at] = max(of[best, at], like) if step else like
                of[mean, at] += like
        for at in range(counts[query]):
            of[mean, at] /= np.float32(width)


@compiled
def affinity(tokens, content, vocabulary, counts, x, first):
    """The share of a history's content tokens that a candidate's tokens cover, averaged over its tokens: one row.

    tokens: [B, H, C] int32, 0 for none. content: [B, K, C] of the candidates.
    """
    times, met = np.zeros(vocabulary, np.int32), np.empty(tokens.shape[1] * tokens.shape[2], np.int32)
    for query in range(len(tokens)):
        distinct, total = count(tokens[query], times, met)
        for at in range(counts[query]):
            covered, told = np.float32(0), 0
            for column in range(content.shape[2]):
                token = content[query, at, column]
                if 0 < token < vocabulary:
                    told += 1
                    covered += np.float32(times[token] / max(total, 1))
            x[query, first, at] = covered / np.float32(max(told, 1))
        for at in range(distinct):
            times[met[at]] = 0


@compiled
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
def derive(x, rows, counts, tower, sources, flags, popularity, age, told, scale, order):
    """What is looked up or made of votes, before logarithms, and what each is ordered by: keys as in `kernels.keys`.

    rows: `Rows`. tower, sources, age: [B, K]. flags: [S] uint8. popularity: [B, K, W]. told: [B, T], the same for every
    candidate of a query. scale: of votes by covisit and follow. order: [B, 4, K] uint64 for tower, slowest votes of
    covisit, votes of ease and decayed popularity; what is not real comes last.
    """
    windows, spread = popularity.shape[2], rows.slowest - rows.covisit + 1
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
            of[rows.tower, at] = tower[query, at]
            of[rows.tower_gap, at] = tower[query, at] - best
            of[rows.covisit_share, at] = of[rows.slowest, at] / most
            of[rows.age, at] = age[query, at]
            for window in range(windows):
                of[rows.popularity + window, at] = popularity[query, at, window]
        for index in range(told.shape[1]):
            of[rows.told + index, :count] = told[query, index]
        for index in range(len(flags)):
            for at in range(count):
                of[rows.flags + index, at] = (sources[query, at] & flags[index]) != 0
        bits = of.view(np.uint32)
        for index, row in enumerate((rows.tower, rows.slowest, rows.ease, rows.decayed)):
            for at in range(count):
                told_bits = bits[row, at] if of[row, at] != 0 else np.uint32(0)  # -0 becomes 0
                high = told_bits if told_bits >= _SIGN else _REST - told_bits
                order[query, index, at] = (np.uint64(high) << np.uint64(32)) | np.uint64(at)
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
