"""Query features: numbers for the ranker on how a candidate item relates to a user's past events, time and context.

`votes`: past items have the candidate as a neighbour. `likeness`: similar embeddings. `affinity`: shared categories.
`repeats`: the candidate is itself a past item. `lifts`: it is more popular at this time or in this context.
`own_columns`: its own numbers, such as a price, and those of past items.

items: [B, K] int32 candidates. The first counts [B] of each query are distinct items; the others are PAD. Each kernel
writes rows of x [B, F, K] float32, one row a feature, from row `first` on, for the items alone.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.hash_table import get, hash_table, put_places
from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import locate
from recsys.kernels.matrix_product import add_product
from recsys.kernels.time_features import HOURS_OF_A_PART, SATURDAY
from recsys.types import CLOCK

LANES = 64
"""Candidates whose inner products are computed together."""

ALIKE_WITHIN = 20
"""The newest history items of the largest and the mean similarity."""


@compiled
def votes(rows, weights, voters, powers, items, counts, x, first):
    """The votes of the newest items of a history for each candidate, their neighbour: D features.

    rows, weights: [n, M] neighbours. voters: [B, R] int32, newest first, PAD for none. powers: [D, R] float32, the
    weight of each step for each of D decays.
    """
    n, width = rows.shape
    keys, places = hash_table(items.shape[1])
    added = np.zeros((len(powers), items.shape[1]), np.float64)
    for query in range(len(items)):
        put_places(keys, places, items, query, counts[query])
        added[:] = 0
        for step in range(voters.shape[1]):
            voter = voters[query, step]
            if voter < 0 or voter >= n:
                continue
            for column in range(width):
                place = get(keys, places, rows[voter, column])
                if place >= 0:
                    weight = weights[voter, column]
                    for index in range(len(powers)):
                        added[index, place] += np.float64(weight * powers[index, step])
        for index in range(len(powers)):
            for at in range(counts[query]):
                x[query, first + index, at] = added[index, at]


@compiled
def likeness(embeddings, past, items, steps, counts, x, first):
    """Inner products of each candidate with the newest items of the history: steps + 2 features.

    One for each of the newest `steps` items, then the largest and the mean of the newest ALIKE_WITHIN. embeddings:
    `KernelTable` [n, D]. past: [B, H] int32, newest last. A missing item counts as 0.
    """
    base, late, tail = embeddings
    n, dim = base.shape
    newest, tile = np.empty((ALIKE_WITHIN, dim), np.float32), np.zeros((dim, LANES), np.float32)
    alike = np.empty((ALIKE_WITHIN, LANES), np.float32)
    for query in range(len(items)):
        newest[:] = 0
        for back in range(min(ALIKE_WITHIN, past.shape[1])):
            row = locate(n, late, past[query, past.shape[1] - 1 - back])
            for unit in range(dim if row >= 0 else 0):
                newest[back, unit] = base[row, unit] if row < n else tail[row - n, unit]
        for start in range(0, counts[query], LANES):
            stop = min(LANES, counts[query] - start)
            for lane in range(stop):
                row = locate(n, late, items[query, start + lane])
                for unit in range(dim):
                    known = base[row, unit] if 0 <= row < n else (tail[row - n, unit] if row >= n else np.float32(0))
                    tile[unit, lane] = known
            alike[:] = 0
            add_product(newest, tile, alike)
            for lane in range(stop):
                best, total = alike[0, lane], alike[0, lane]
                for back in range(1, ALIKE_WITHIN):
                    best = max(best, alike[back, lane])
                    total += alike[back, lane]
                for back in range(steps):
                    x[query, first + back, start + lane] = alike[back, lane]
                x[query, first + steps, start + lane] = best
                x[query, first + steps + 1, start + lane] = total / np.float32(ALIKE_WITHIN)


@compiled
def affinity(content, vocabulary, past, items, counts, x, first):
    """The share of a history's content tokens that each token of a candidate covers, on average: two features.

    The first is of the whole history, the second of its newest item. content: `KernelTable` [n, C] of tokens, 0 for
    none. past: [B, H] int32.
    """
    base, late, tail = content
    n, columns = base.shape
    met, times = np.empty(past.shape[1] * columns, np.int32), np.zeros((vocabulary, 2), np.int32)
    for query in range(len(items)):
        distinct, tokens, newest_tokens = 0, 0, 0
        for at in range(past.shape[1] - 1, -1, -1):
            row = locate(n, late, past[query, at])
            for column in range(columns if row >= 0 else 0):
                token = base[row, column] if row < n else tail[row - n, column]
                if 0 < token < vocabulary:
                    if times[token, 0] == 0:
                        met[distinct] = token
                        distinct += 1
                    times[token, 0] += 1
                    tokens += 1
                    if at == past.shape[1] - 1:
                        times[token, 1] += 1
                        newest_tokens += 1
        for at in range(counts[query]):
            row = locate(n, late, items[query, at])
            covered, newest_covered, known = 0, 0, 0
            for column in range(columns if row >= 0 else 0):
                token = base[row, column] if row < n else tail[row - n, column]
                if 0 < token < vocabulary:
                    known += 1
                    covered += times[token, 0]
                    newest_covered += times[token, 1]
            x[query, first, at] = covered / max(tokens * known, 1)
            x[query, first + 1, at] = newest_covered / max(newest_tokens * known, 1)
        for at in range(distinct):
            times[met[at], 0], times[met[at], 1] = 0, 0


@compiled
def repeats(history, powers, items, counts, x, first):
    """How often a candidate is in a history [B, H], and powers [H] of the steps since the last time: two features."""
    keys, places = hash_table(items.shape[1])
    for query in range(len(items)):
        put_places(keys, places, items, query, counts[query])
        step = 0
        for back in range(history.shape[1] - 1, -1, -1):
            row = history[query, back]
            if row < 0:
                continue
            at = get(keys, places, row)
            if at >= 0:
                if x[query, first, at] == 0:
                    x[query, first + 1, at] = powers[step]
                x[query, first, at] += 1
            step += 1


@compiled
def lift_columns(contexts, starts, out):
    """The column of a table of lifts for each group of contexts [B, C] uint8: [B, G] int64, -1 if unknown.

    starts: [G + 1] int32, group g is columns starts[g] to starts[g + 1]; the last column is of all values without a
    column of their own. The first two contexts are the hour and the weekday from 1. The table has a column for each
    part of the day, and for weekdays and weekends.
    """
    for query in range(len(contexts)):
        for group in range(len(starts) - 1):
            value = np.int64(contexts[query, group])
            if value and group == 0:
                value = (value + HOURS_OF_A_PART - 1) // HOURS_OF_A_PART
            elif value and group == 1:
                value = 1 + (value >= SATURDAY)
            width = starts[group + 1] - starts[group]
            out[query, group] = starts[group] + min(value, width) - 1 if value and width else -1


@compiled
def lifts(table, columns, items, counts, x, first):
    """The lift of each candidate for the hour and the weekday, and the mean over the known context columns.

    table: [n, V] float32. columns: [B, G] int64, see `lift_columns`; the first CLOCK are the hour and weekday.
    """
    n, groups = len(table), columns.shape[1]
    for query in range(len(items)):
        known = 0
        for group in range(CLOCK, groups):
            known += columns[query, group] >= 0
        for at in range(counts[query]):
            row = items[query, at]
            total = np.float32(0)
            for group in range(groups):
                column = columns[query, group]
                lift = table[row, column] if column >= 0 and row < n else np.float32(0)
                if group < CLOCK:
                    x[query, first + group, at] = lift
                else:
                    total += lift
            x[query, first + CLOCK, at] = total / np.float32(max(known, 1))


@compiled
def own_columns(values, past, items, counts, x, first):
    """Each own column of a candidate, and its difference to the mean over the history: two features of a column.

    values: `KernelTable` [n, C] of float32. past: [B, H] int32. The difference is 0 without a history.
    """
    base, late, tail = values
    n, columns = base.shape
    for query in range(len(items) if columns else 0):
        totals, known = np.zeros(columns, np.float64), 0
        for at in range(past.shape[1]):
            row = locate(n, late, past[query, at])
            known += row >= 0
            for column in range(columns if row >= 0 else 0):
                totals[column] += base[row, column] if row < n else tail[row - n, column]
        for at in range(counts[query]):
            row = locate(n, late, items[query, at])
            for column in range(columns if row >= 0 else 0):
                value = base[row, column] if row < n else tail[row - n, column]
                x[query, first + 2 * column, at] = value
                if known:
                    x[query, first + 2 * column + 1, at] = value - totals[column] / known
