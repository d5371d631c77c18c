"""Feature kernels: two compiled loops that compute the ranker's inputs, numbers about a user and a candidate item.

They run for a batch of queries. Between the two, numpy takes logarithms and sorts. Each feature is one row of an array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import KernelTable
from recsys.kernels.query_features import affinity, lift_columns, lifts, likeness, own_columns, repeats, votes
from recsys.kernels.recent_events import WINDOWS, RecentEvents, count_recent
from recsys.kernels.time_features import STEPS, gap, wait
from recsys.kernels.top_k import NO_KEY, key

ALIKE = 10
"""The newest history items, whose similarity to a candidate is a feature each."""

COVISIT_DECAYS = (0.0, 0.5, 0.9)
FOLLOW_DECAYS = (0.0, 0.5, 0.9)
EASE_DECAYS = (0.0, 0.5, 0.8, 0.9, 0.97)
VOTE_SCALE = np.float32(1e3)
"""Scales votes, which are shares of a few thousandths, to the range where log1p is not linear."""

NAMES = (
    "tower",
    "tower_gap",
    "tower_rank",
    *(f"covisit_{decay}" for decay in COVISIT_DECAYS),
    "covisit_share",
    "covisit_rank",
    *(f"follow_{decay}" for decay in FOLLOW_DECAYS),
    *(f"ease_{decay}" for decay in EASE_DECAYS),
    "ease_rank",
    *(f"like_{step}" for step in range(1, ALIKE + 1)),
    "like_best",
    "like_mean",
    "popularity_all",
    "popularity_30d",
    "popularity_7d",
    "popularity_decayed",
    "popularity_rank",
    "momentum",
    "age",
    "content_affinity",
    "last_content_affinity",
    "repeat_count",
    "repeat_recency",
    "history_length",
    "wait",
    "gap",
    "lift_daypart",
    "lift_weekend",
    "lift_context",
    *WINDOWS,
)
"""The features in the order of their rows. A flag for each candidate source follows, then a dataset's own columns."""

ROW = {name: row for row, name in enumerate(NAMES)}
TOWER, TOWER_GAP, COVISIT_SHARE = ROW["tower"], ROW["tower_gap"], ROW["covisit_share"]
COVISIT, FOLLOW, EASE = (ROW[f"{table}_0.0"] for table in ("covisit", "follow", "ease"))
COVISIT_LAST, EASE_ORDER = ROW[f"covisit_{COVISIT_DECAYS[-1]}"], ROW[f"ease_{EASE_DECAYS[-2]}"]
LIKENESS, AFFINITY, REPEATS = ROW["like_1"], ROW["content_affinity"], ROW["repeat_count"]
POPULARITY, POPULARITY_DECAYED = ROW["popularity_all"], ROW["popularity_decayed"]
MOMENTUM, AGE = ROW["momentum"], ROW["age"]
OF_QUERY, LIFTS, RECENT, FLAGS = ROW["history_length"], ROW["lift_daypart"], ROW[WINDOWS[0]], len(NAMES)

RANKED = TOWER, COVISIT_LAST, EASE_ORDER, POPULARITY_DECAYED
RANKS = tuple(ROW[f"{name}_rank"] for name in ("tower", "covisit", "ease", "popularity"))
"""The rows of log(1 + place) by the rows of RANKED."""

LOGGED = (
    *(*range(COVISIT, COVISIT_SHARE), *range(FOLLOW, EASE)),
    *(*range(POPULARITY, POPULARITY_DECAYED + 1), AGE, *range(RECENT, FLAGS)),
)
"""The rows that become log(1 + x)."""


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
    recent: RecentEvents
    own: KernelTable


class FeatureSettings(NamedTuple):
    """The arrays that the definition of the features fixes.

    powers, ease_powers: [D, R] float32, the weight of each step for each decay. repeat_powers: [H] float32. flags: [S]
    uint16 of the sources. logs: float32, log(1 + x) of x.
    """

    powers: np.ndarray
    ease_powers: np.ndarray
    repeat_powers: np.ndarray
    flags: np.ndarray
    logs: np.ndarray


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
    items, past = queries.items, queries.past
    x, counts = arrays.x, arrays.counts
    shared_features(queries, settings, x, counts)
    voters = np.empty((len(items), min(past.shape[1], settings.powers.shape[1])), np.int32)
    for query in range(len(items)):
        for step in range(voters.shape[1]):
            voters[query, step] = past[query, past.shape[1] - 1 - step]
    powers = settings.powers
    votes(tables.covisit_rows, tables.covisit_weights, voters, powers, items, counts, x, COVISIT)
    votes(tables.follow_rows, tables.follow_weights, voters, powers, items, counts, x, FOLLOW)
    votes(tables.ease_rows, tables.ease_weights, voters, settings.ease_powers, items, counts, x, EASE)
    tower_and_votes(queries, x, counts)
    item_features(queries, tables, settings, x, counts)
    base, late, _ = tables.embeddings
    count_recent(tables.recent, len(base), late, queries.now, items, counts, x, RECENT)
    for query in range(len(items)):
        for index, row in enumerate(RANKED):
            for at in range(counts[query]):
                arrays.order[query, index, at] = key(x[query, row, at], at)
            arrays.order[query, index, counts[query] :] = NO_KEY
        for at in range(len(LOGGED)):
            arrays.to_log[query, at] = x[query, LOGGED[at]]


@compiled
def finish(queries, tables, settings, arrays):
    """Write the features that need the logarithms `to_log` and the sorted `order`, and all others."""
    items, past = queries.items, queries.past
    x, counts = arrays.x, arrays.counts
    for query in range(len(items)):
        for at in range(len(LOGGED)):
            x[query, LOGGED[at]] = arrays.to_log[query, at]
        for at in range(counts[query]):
            x[query, MOMENTUM, at] = x[query, POPULARITY + 2, at] - x[query, POPULARITY + 1, at]
        for index, row in enumerate(RANKS):
            for place in range(counts[query]):
                at = arrays.order[query, index, place] & np.uint64(2**32 - 1)
                x[query, row, at] = settings.logs[place]
    likeness(tables.embeddings, past, items, ALIKE, counts, x, LIKENESS)
    affinity(tables.content, tables.vocabulary, past, items, counts, x, AFFINITY)
    repeats(past, settings.repeat_powers, items, counts, x, REPEATS)
    columns = np.empty((len(items), len(tables.lift_starts) - 1), np.int64)
    lift_columns(queries.contexts, tables.lift_starts, columns)
    lifts(tables.lifts, columns, items, counts, x, LIFTS)
    own_columns(tables.own, past, items, counts, x, FLAGS + len(settings.flags))


@compiled
def shared_features(queries, settings, x, counts):
    """Count the candidates of each query; the log of its history's length, and its newest two time steps as shares."""
    past = queries.past
    for query in range(len(past)):
        count, length = 0, 0
        for at in range(queries.items.shape[1]):
            count += queries.items[query, at] >= 0
        for at in range(past.shape[1]):
            length += past[query, at] >= 0
        counts[query] = count
        since = np.float32(wait(past, queries.times, queries.now, query)) / np.float32(STEPS)
        between = np.float32(gap(past, queries.times, query, past.shape[1] - 1)) / np.float32(STEPS)
        for index, value in enumerate((settings.logs[length], since, between)):
            x[query, OF_QUERY + index, :count] = value


@compiled
def tower_and_votes(queries, x, counts):
    """The tower's score and its distance from the best; scaled votes, and the share of the most covisit votes."""
    for query in range(len(x)):
        best, most = np.float32(-np.inf), np.float32(1e-6)
        for at in range(counts[query]):
            best = max(best, queries.tower[query, at])
        for row in range(len(COVISIT_DECAYS)):
            for at in range(counts[query]):
                x[query, COVISIT + row, at] *= VOTE_SCALE
                x[query, FOLLOW + row, at] *= VOTE_SCALE
        for at in range(counts[query]):
            most = max(most, x[query, COVISIT_LAST, at])
        for at in range(counts[query]):
            x[query, TOWER, at] = queries.tower[query, at]
            x[query, TOWER_GAP, at] = queries.tower[query, at] - best
            x[query, COVISIT_SHARE, at] = x[query, COVISIT_LAST, at] / most


@compiled
def item_features(queries, tables, settings, x, counts):
    """Popularity, age and the flags of the sources. Items added since have popularity and age 0."""
    windows = tables.popularity.shape[1]
    for query in range(len(x)):
        for at in range(counts[query]):
            row = queries.items[query, at]
            if row < len(tables.popularity):
                x[query, AGE, at] = tables.age[row]
                for window in range(windows):
                    x[query, POPULARITY + window, at] = tables.popularity[row, window]
        for index in range(len(settings.flags)):
            for at in range(counts[query]):
                x[query, FLAGS + index, at] = (queries.sources[query, at] & settings.flags[index]) != 0
