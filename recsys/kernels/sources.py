"""What the sources bring, for a batch of queries: votes counted, lists joined into candidates."""

from __future__ import annotations

import numpy as np

from recsys.kernels.ballot import add, ballot, clear, place_of
from recsys.kernels.compiled import compiled


@compiled
def tally(rows, weights, voters, powers, items, votes, counts):
    """Every item that the newest of each history vote for, and the votes it gets, in no order.

    rows, weights: [n, M]. voters: [B, R] int32, newest first. powers: [R] float32. items: [B, R * M] int32, votes:
    [B, R * M] float32, of which counts [B] are written.
    """
    n, width = rows.shape
    slots = 16
    while slots < 2 * voters.shape[1] * width:
        slots *= 2
    shift = 32
    while slots >> (32 - shift) > 1:
        shift -= 1
    seats, added = np.full(slots, -1, np.int32), np.empty(slots, np.float64)
    taken = np.empty(voters.shape[1] * width + 1, np.int64)
    for query in range(len(voters)):
        count = 0
        for step in range(voters.shape[1]):
            voter = voters[query, step]
            if voter < 0 or voter >= n:
                continue
            for column in range(width):
                row = rows[voter, column]
                if row < 0 or row >= n:
                    continue
                slot = ((np.int64(row) * 2_654_435_769) & 0xFFFFFFFF) >> shift
                while seats[slot] >= 0 and seats[slot] != row:
                    slot = (slot + 1) & (slots - 1)
                if seats[slot] < 0:
                    seats[slot] = row
                    added[slot] = 0
                    taken[count] = slot
                    count += 1
                added[slot] += np.float64(weights[voter, column] * powers[step])
        written = 0
        for at in range(count):
            slot = taken[at]
            vote = np.float32(added[slot])
            if vote != 0:
                items[query, written], votes[query, written] = seats[slot], vote
                written += 1
            seats[slot] = -1
        counts[query] = written


@compiled
def favourites(tokens, vocabulary, liked, items, offsets, room, out):
    """The items of each history's most frequent tokens.

    tokens: [B, H, C] int32, 0 for none. liked: how many tokens. items, offsets: those of each token. room: places of
    each token in out [B, liked * room] int32, PAD all over.
    """
    times, met = np.zeros(vocabulary, np.int32), np.empty(tokens.shape[1] * tokens.shape[2], np.int32)
    for query in range(len(tokens)):
        distinct, _ = count(tokens[query], times, met)
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
def count(tokens, times, met):
    """Count the tokens [H, C] of one history into times [V], 0 before: how many differ, those of met, and how many."""
    distinct, total = 0, 0
    for step in range(tokens.shape[0]):
        for column in range(tokens.shape[1]):
            token = tokens[step, column]
            if 0 < token < len(times):
                if times[token] == 0:
                    met[distinct] = token
                    distinct += 1
                times[token] += 1
                total += 1
    return distinct, total


@compiled(fastmath={"reassoc", "contract"})
def inner(one, other):
    """Inner product of two vectors; summed in whatever order is fast, but always the same."""
    total = np.float32(0)
    for at in range(len(one)):
        total += one[at] * other[at]
    return total


@compiled
def score(users, embeddings, tail_rows, tail, items, out):
    """Inner products of users [B, d] with items [B, K] int32; -inf for PAD and for what is in neither table.

    embeddings: [n, d]. tail_rows: [m] int32 ascending, rows from n on; tail: [m, d].
    """
    n = len(embeddings)
    for query in range(len(items)):
        for at in range(items.shape[1]):
            row = items[query, at]
            if 0 <= row < n:
                out[query, at] = inner(users[query], embeddings[row])
                continue
            out[query, at] = -np.inf
            if row >= n:
                place = np.searchsorted(tail_rows, row)
                if place < len(tail_rows) and tail_rows[place] == row:
                    out[query, at] = inner(users[query], tail[place])


@compiled
def places(rows, others, out):
    """Where each of rows [n] int32 first stands among others [m] int32, -1 where it does not, into out [n] int32."""
    slots = 16
    while slots < 2 * len(others):
        slots *= 2
    held = np.full(slots, -1, np.int32)
    for at in range(len(others)):
        slot = _slot(others[at], slots)
        while held[slot] >= 0 and others[held[slot]] != others[at]:
            slot = (slot + 1) & (slots - 1)
        if held[slot] < 0:
            held[slot] = at
    for at in range(len(rows)):
        slot = _slot(rows[at], slots)
        while held[slot] >= 0 and others[held[slot]] != rows[at]:
            slot = (slot + 1) & (slots - 1)
        out[at] = held[slot]


@compiled
def _slot(row, slots):
    return (((np.int64(row) * 2_654_435_769) & 0xFFFFFFFF) >> 8) & (slots - 1)


@compiled
def join(lists, starts, shares, flags, past, drop_past, out, sources, kept):
    """The distinct items of several lists, with the flags of every list that named them.

    lists: [B, W] int32, list s in columns starts[s] to starts[s + 1], best first, PAD for none. Of each, the first
    shares[s] that are not in past [B, H] are taken, or may be, where past is not dropped. out: [B, W] int32, PAD all
    over, sources: [B, W] uint8, 0 all over; in the order in which items are met. kept: [B, W] bool, which of them a
    list without a flag named. W and H are well below SLOTS.
    """
    had, found = ballot(0), ballot(0)
    for query in range(len(lists)):
        if drop_past:
            for step in range(past.shape[1]):
                row = past[query, step]
                if row >= 0 and place_of(had, row) < 0:
                    add(had, row, step)
        count = 0
        for source in range(len(shares)):
            taken = 0
            for column in range(starts[source], starts[source + 1]):
                row = lists[query, column]
                if taken == shares[source]:
                    break
                if row < 0 or (drop_past and place_of(had, row) >= 0):
                    continue
                taken += 1
                at = place_of(found, row)
                if at < 0:
                    at = count
                    add(found, row, at)
                    out[query, at] = row
                    count += 1
                sources[query, at] |= flags[source]
                kept[query, at] |= flags[source] == 0
        clear(had)
        clear(found)


@compiled
def order(items, scores, sources, real, places, of_items, of_scores, of_sources):
    """What is real at places [B, K] int64 of items, scores and sources [B, W], into `of_items` and so on [B, K]."""
    for query in range(len(places)):
        for at in range(places.shape[1]):
            place = places[query, at]
            if real[query, place]:
                of_items[query, at] = items[query, place]
                of_scores[query, at] = scores[query, place]
                of_sources[query, at] = sources[query, place]
