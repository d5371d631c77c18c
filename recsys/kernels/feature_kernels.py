"""Feature kernels: two compiled loops that compute the ranker's inputs, numbers about a user and a candidate item.

They run for a batch of queries. Between the two, numpy takes logarithms and sorts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import KernelTable
from recsys.kernels.query_features import affinity, lift_columns, lifts, likeness, repeats, votes
from recsys.kernels.sort_keys import NO_KEY, key
from recsys.kernels.time_spans import gap, wait


class FeatureRows(NamedTuple):
    """The row of x of each feature, of several adjacent ones the first. Covisit and follow have as many rows each.

    covisit_last, ease_order: the rows of votes by which `covisit_rank` and `ease_rank` are ordered. query: the first of
    the three features that are the same for all candidates of a query.
    """

    tower: int
    tower_gap: int
    covisit: int
    covisit_last: int
    covisit_share: int
    follow: int
    ease: int
    ease_order: int
    likeness: int
    popularity: int
    popularity_decayed: int
    momentum: int
    age: int
    affinity: int
    repeats: int
    query: int
    lifts: int
    flags: int


class QueryArrays(NamedTuple):
    """A batch of queries: histories [B, H] and candidates [B, K].

    items: int32, PAD behind the last. past: int32, newest last. times: float64. now: [B] float64. contexts: uint8.
    tower: float32. sources: uint16.
    """

    items: np.ndarray
    past: np.ndarray
    times: np.ndarray
    now: np.ndarray
    contexts: np.ndarray
    tower: np.ndarray
    sources: np.ndarray


class FeatureTables(NamedTuple):
    """The tables that features read, see `ItemTables`. popularity, age and lifts have no rows of items added since."""

    embeddings: KernelTable
    content: KernelTable
    vocabulary: int
    covisit_rows: np.ndarray
    covisit_weights: np.ndarray
    follow_rows: np.ndarray
    follow_weights: np.ndarray
    ease_rows: np.ndarray
    ease_weights: np.ndarray
    popularity: np.ndarray
    age: np.ndarray
    lifts: np.ndarray
    lift_starts: np.ndarray


class FeatureSettings(NamedTuple):
    """What the definition of the features fixes.

    powers, ease_powers: [D, R] float32, the weight of each step for each decay. scale: of votes by covisit and follow.
    flags: [S] uint16 of the sources. steps: of a time span. within, alike: as `within` and `steps` of `likeness`.
    repeat_powers: [H] float32. hours, saturday, clock: as in `lift_columns`. logs: float32, log(1 + x) of x. ranks: the
    rows of the four ranks. logged: the rows of which log(1 + x) is taken.
    """

    rows: FeatureRows
    powers: np.ndarray
    ease_powers: np.ndarray
    scale: np.float32
    flags: np.ndarray
    steps: int
    within: int
    alike: int
    repeat_powers: np.ndarray
    hours: int
    saturday: int
    clock: int
    logs: np.ndarray
    ranks: np.ndarray
    logged: np.ndarray


class FeatureArrays(NamedTuple):
    """x: [B, F, K] float32, zero before. counts: [B] int64, the candidates of each query.

    order: [B, 4, K] uint64, sort keys of candidates by tower score, votes and popularity. to_log: [B, L, K] float32.
    """

    x: np.ndarray
    counts: np.ndarray
    order: np.ndarray
    to_log: np.ndarray


@compiled
def begin(queries, tables, settings, arrays):
    """Write the features that need neither a logarithm nor an order, the keys of `order`, and `to_log`."""
    items, past, rows = queries.items, queries.past, settings.rows
    x, counts = arrays.x, arrays.counts
    shared_features(queries, settings, x, counts)
    voters = np.empty((len(items), min(past.shape[1], settings.powers.shape[1])), np.int32)
    for query in range(len(items)):
        for step in range(voters.shape[1]):
            voters[query, step] = past[query, past.shape[1] - 1 - step]
    powers = settings.powers
    votes(tables.covisit_rows, tables.covisit_weights, voters, powers, items, counts, x, rows.covisit)
    votes(tables.follow_rows, tables.follow_weights, voters, powers, items, counts, x, rows.follow)
    votes(tables.ease_rows, tables.ease_weights, voters, settings.ease_powers, items, counts, x, rows.ease)
    tower_and_votes(queries, settings, x, counts)
    item_features(queries, tables, settings, x, counts)
    for query in range(len(items)):
        for index, row in enumerate((rows.tower, rows.covisit_last, rows.ease_order, rows.popularity_decayed)):
            for at in range(counts[query]):
                arrays.order[query, index, at] = key(x[query, row, at], at)
            arrays.order[query, index, counts[query] :] = NO_KEY
        for at in range(len(settings.logged)):
            arrays.to_log[query, at] = x[query, settings.logged[at]]


@compiled
def finish(queries, tables, settings, arrays):
    """Write the features that need the logarithms `to_log` and the sorted `order`, and all others."""
    items, past, rows = queries.items, queries.past, settings.rows
    x, counts = arrays.x, arrays.counts
    for query in range(len(items)):
        for at in range(len(settings.logged)):
            x[query, settings.logged[at]] = arrays.to_log[query, at]
        for at in range(counts[query]):
            x[query, rows.momentum, at] = x[query, rows.popularity + 2, at] - x[query, rows.popularity + 1, at]
        for index in range(len(settings.ranks)):
            for place in range(counts[query]):
                at = arrays.order[query, index, place] & np.uint64(2**32 - 1)
                x[query, settings.ranks[index], at] = settings.logs[place]
    likeness(tables.embeddings, past, settings.within, items, settings.alike, counts, x, rows.likeness)
    affinity(tables.content, tables.vocabulary, past, items, counts, x, rows.affinity)
    repeats(past, settings.repeat_powers, items, counts, x, rows.repeats)
    columns = np.empty((len(items), len(tables.lift_starts) - 1), np.int64)
    lift_columns(queries.contexts, tables.lift_starts, settings.hours, settings.saturday, columns)
    lifts(tables.lifts, columns, settings.clock, items, counts, x, rows.lifts)


@compiled
def shared_features(queries, settings, x, counts):
    """Count the candidates of each query; the log of its history's length, and its newest two time steps as shares."""
    past, steps = queries.past, settings.steps
    for query in range(len(past)):
        count, length = 0, 0
        for at in range(queries.items.shape[1]):
            count += queries.items[query, at] >= 0
        for at in range(past.shape[1]):
            length += past[query, at] >= 0
        counts[query] = count
        since = np.float32(wait(past, queries.times, queries.now, query, steps)) / np.float32(steps)
        between = np.float32(gap(past, queries.times, query, past.shape[1] - 1, steps)) / np.float32(steps)
        for index, value in enumerate((settings.logs[length], since, between)):
            x[query, settings.rows.query + index, :count] = value


@compiled
def tower_and_votes(queries, settings, x, counts):
    """The tower's score and its distance from the best; scaled votes, and the share of the most covisit votes."""
    rows = settings.rows
    for query in range(len(x)):
        best, most = np.float32(-np.inf), np.float32(1e-6)
        for at in range(counts[query]):
            best = max(best, queries.tower[query, at])
        for row in range(rows.covisit_last - rows.covisit + 1):
            for at in range(counts[query]):
                x[query, rows.covisit + row, at] *= settings.scale
                x[query, rows.follow + row, at] *= settings.scale
        for at in range(counts[query]):
            most = max(most, x[query, rows.covisit_last, at])
        for at in range(counts[query]):
            x[query, rows.tower, at] = queries.tower[query, at]
            x[query, rows.tower_gap, at] = queries.tower[query, at] - best
            x[query, rows.covisit_share, at] = x[query, rows.covisit_last, at] / most


@compiled
def item_features(queries, tables, settings, x, counts):
    """Popularity, age and the flags of the sources. Items added since have popularity and age 0."""
    rows, windows = settings.rows, tables.popularity.shape[1]
    for query in range(len(x)):
        for at in range(counts[query]):
            row = queries.items[query, at]
            if row < len(tables.popularity):
                x[query, rows.age, at] = tables.age[row]
                for window in range(windows):
                    x[query, rows.popularity + window, at] = tables.popularity[row, window]
        for index in range(len(settings.flags)):
            for at in range(counts[query]):
                x[query, rows.flags + index, at] = (queries.sources[query, at] & settings.flags[index]) != 0
