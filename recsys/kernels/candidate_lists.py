"""Candidate lists of items to recommend, by compiled loops: neighbours of past items, liked categories, all joined.

Each candidate source, one way to find items, gives a list. `join` removes duplicates, and `weigh` adds the scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.hash_table import get, hash_table, put
from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import locate
from recsys.kernels.matrix_product import inner
from recsys.kernels.top_k import LOW, key


@compiled
def tally(rows, weights, voters, powers, keys, counts):
    """Add up the votes of the newest items of each history for their neighbours.

    rows, weights: [n, M] neighbours, -1 for none. voters: [B, R] int32, newest first. powers: [R] float32, the weight
    of each step. keys: [B, R * M] uint64, sort keys of the items by their votes, in no order. counts: [B], the keys of
    each query.
    """
    n, width = rows.shape
    room = voters.shape[1] * width
    slots, places = hash_table(room)
    voted, votes = np.empty(room, np.int32), np.empty(room, np.float64)
    for query in range(len(voters)):
        slots[:] = -1
        count = 0
        for step in range(voters.shape[1]):
            voter = voters[query, step]
            if voter < 0 or voter >= n:
                continue
            for column in range(width):
                row = rows[voter, column]
                if row < 0:
                    continue
                place = get(slots, places, row)
                if place < 0:
                    place = count
                    put(slots, places, row, place)
                    voted[place], votes[place] = row, 0
                    count += 1
                votes[place] += np.float64(weights[voter, column] * powers[step])
        written = 0
        for place in range(count):
            vote = np.float32(votes[place])
            if vote != 0:
                keys[query, written] = key(vote, voted[place])
                written += 1
        counts[query] = written


@compiled
def items_of_liked_tokens(content, vocabulary, past, liked, items, offsets, out):
    """The items of the most frequent content tokens of each history.

    content: `KernelTable` [n, C] of tokens, 0 for none. past: [B, H] int32. liked: how many tokens. items, offsets: the
    items of each token. out: [B, liked * room] int32, PAD before; `room` places for each token.
    """
    base, late, tail = content
    n, columns = base.shape
    room = out.shape[1] // liked
    times, met = np.zeros(vocabulary, np.int32), np.empty(past.shape[1] * columns, np.int32)
    for query in range(len(past)):
        distinct = 0
        for at in range(past.shape[1]):
            row = locate(n, late, past[query, at])
            for column in range(columns if row >= 0 else 0):
                token = base[row, column] if row < n else tail[row - n, column]
                if 0 < token < vocabulary:
                    if times[token] == 0:
                        met[distinct] = token
                        distinct += 1
                    times[token] += 1
        for place in range(liked):
            best = 0
            for at in range(distinct):
                token = met[at]
                if times[token] > times[best] or (times[token] == times[best] and token < best):
                    best = token
            if times[best] == 0:
                break
            times[best] = 0
            for at in range(offsets[best], min(offsets[best + 1], offsets[best] + room)):
                out[query, place * room + at - offsets[best]] = items[at]
        for at in range(distinct):
            times[met[at]] = 0


@compiled
def first_places(rows, others, out):
    """The first place of each of rows [n] int32 among others [m] int32, -1 if there is none: [n] int32."""
    slots, places = hash_table(len(others))
    for at in range(len(others) - 1, -1, -1):
        put(slots, places, others[at], at)
    for at in range(len(rows)):
        out[at] = get(slots, places, rows[at])


class SourceLists(NamedTuple):
    """The lists of the sources for a batch of queries.

    items: [B, W] int32, the list of source s in columns starts[s] to starts[s + 1], best first, PAD for none. Of each
    list the first shares[s] items are taken. flags: the flag of each source. If drop_past is set, items of the history
    past [B, H] are left out and do not count.
    """

    items: np.ndarray
    starts: np.ndarray
    shares: np.ndarray
    flags: np.ndarray
    past: np.ndarray
    drop_past: bool


class Joined(NamedTuple):
    """The distinct candidates of each query, all [B, W], in the order in which the lists name them.

    items: int32, PAD behind the last. sources: uint16, the flags of all lists that name the item. kept: bool, whether a
    list without a flag names it. scores: float32, the user tower's. shown: bool, whether the item may be shown. keys:
    uint64, sort keys by score.
    """

    items: np.ndarray
    sources: np.ndarray
    kept: np.ndarray
    scores: np.ndarray
    shown: np.ndarray
    keys: np.ndarray


@compiled
def join(lists, users, embeddings, available, found):
    """Write the distinct items of the lists into items, sources and kept of `found`, and all else by `weigh`."""
    had_slots, had = hash_table(lists.past.shape[1])
    slots, places = hash_table(lists.items.shape[1])
    found.items[:], found.sources[:], found.kept[:] = -1, 0, False
    for query in range(len(lists.items)):
        had_slots[:], slots[:] = -1, -1
        for at in range(lists.past.shape[1] if lists.drop_past else 0):
            if lists.past[query, at] >= 0:
                put(had_slots, had, lists.past[query, at], at)
        count = 0
        for source in range(len(lists.shares)):
            taken = 0
            for column in range(lists.starts[source], lists.starts[source + 1]):
                row = lists.items[query, column]
                if taken == lists.shares[source]:
                    break
                if row < 0 or get(had_slots, had, row) >= 0:
                    continue
                taken += 1
                at = get(slots, places, row)
                if at < 0:
                    at = count
                    put(slots, places, row, at)
                    found.items[query, at] = row
                    count += 1
                found.sources[query, at] |= lists.flags[source]
                found.kept[query, at] |= lists.flags[source] == 0
    weigh(users, embeddings, available, found)


@compiled
def score(users, embeddings, items, out):
    """Inner products of users [B, d] with items [B, K] int32 of a `KernelTable` [n, d]; -inf for an unknown row."""
    base, late, tail = embeddings
    n = len(base)
    for query in range(len(items)):
        for at in range(items.shape[1]):
            row = locate(n, late, items[query, at])
            if 0 <= row < n:
                out[query, at] = inner(users, query, base, row)
            else:
                out[query, at] = inner(users, query, tail, row - n) if row >= n else -np.inf


@compiled
def weigh(users, embeddings, available, found):
    """Write scores, shown and keys of the items of `found`; the score of an item that may not be shown is -inf.

    embeddings: `KernelTable` [n, d]. available: `KernelTable` [n] bool.
    """
    score(users, embeddings, found.items, found.scores)
    base, late, tail = available
    n = len(base)
    for query in range(len(found.items)):
        for at in range(found.items.shape[1]):
            row = locate(n, late, found.items[query, at])
            shown = row >= 0 and (base[row] if row < n else tail[row - n])
            if not shown:
                found.scores[query, at] = -np.inf
            found.shown[query, at] = shown
            found.keys[query, at] = key(found.scores[query, at], at)


@compiled
def put_in_order(found, keys, items, scores, sources):
    """Write the first K candidates by sorted keys, or by places, into [B, K] each; PAD if one may not be shown."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            place = np.int64(keys[query, at] & LOW)
            shown = found.shown[query, place]
            items[query, at] = found.items[query, place] if shown else np.int32(-1)
            scores[query, at] = found.scores[query, place] if shown else np.float32(0)
            sources[query, at] = found.sources[query, place] if shown else np.uint16(0)
