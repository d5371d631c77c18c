"""Columns of features for the candidates of a batch of queries.

In all of them: items [B, K] int32 candidates of which the first counts [B] of each query are real and distinct; what is
written goes to those alone.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.ballot import ballot, leave, may_be_one, place_of, seat
from recsys.kernels.compiled import compiled
from recsys.kernels.sources import count


@compiled
def votes(rows, weights, voters, powers, items, counts, out):
    """Add up what the neighbours of the newest items of a history give each candidate.

    rows, weights: [n, M]. voters: [B, R] int32, newest first, PAD for none. powers: [D, R] float32, each decay to the
    steps. out: [B, D, K] float32.
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
                out[query, index, at] = added[index, at]
        leave(seats, items[query], count)


@compiled
def likest(alike, counts, out):
    """The largest and the mean likeness of each candidate, [B, 2, K]; alike: [B, W, K]."""
    width = alike.shape[1]
    for query in range(len(alike)):
        for at in range(counts[query]):
            out[query, 0, at] = out[query, 1, at] = alike[query, 0, at]
        for step in range(1, width):
            for at in range(counts[query]):
                out[query, 0, at] = max(out[query, 0, at], alike[query, step, at])
                out[query, 1, at] += alike[query, step, at]
        for at in range(counts[query]):
            out[query, 1, at] /= np.float32(width)


@compiled
def affinity(tokens, content, vocabulary, counts, out):
    """The share of a history's content tokens that a candidate's tokens cover, averaged over its tokens.

    tokens: [B, H, C] int32, 0 for none. content: [B, K, C] of the candidates. out: [B, K] float32.
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
            out[query, at] = covered / np.float32(max(told, 1))
        for at in range(distinct):
            times[met[at]] = 0


@compiled
def repeats(history, powers, items, counts, out):
    """How often each candidate stands in a history [B, H], and powers [H] of the steps since it last did: [B, 2, K]."""
    seats = ballot(0)  # no marks: a row is asked for once a step, and those of fresh items may be anything
    for query in range(len(items)):
        seat(seats, items[query], counts[query])
        out[query] = 0
        step = 0
        for back in range(history.shape[1] - 1, -1, -1):
            row = history[query, back]
            if row < 0:
                continue
            at = place_of(seats, row)
            if at >= 0:
                if out[query, 0, at] == 0:
                    out[query, 1, at] = powers[step]
                out[query, 0, at] += 1
            step += 1
        leave(seats, items[query], counts[query])


@compiled
def lifts(table, columns, clock, items, counts, out):
    """Lifts of each candidate in a query's context: of the clock's parts, and the mean of the other columns known.

    table: [n, V] float32. columns: [B, G] int64, -1 where unknown, the first `clock` of them the clock's.
    out: [B, clock + 1, K].
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
                    out[query, group, at] = lift
                else:
                    total += lift
            out[query, clock, at] = total / np.float32(max(known, 1))
