"""What the sources bring, for a batch of queries: votes counted, lists joined into candidates."""

from __future__ import annotations

import numpy as np

from recsys.kernels.ballot import add, ballot, clear, place_of
from recsys.kernels.compiled import compiled
from recsys.kernels.keys import LOW, key
from recsys.kernels.tables import Table, ahead, locate, soon


@compiled(makes_arrays=True)
def tally(rows, weights, voters, powers, votes, bits, keys, counts):
    """Every item that the newest of each history vote for, by keys as of `recsys.kernels.keys`, in no order.

    rows, weights: [n, M]. voters: [B, R] int32, newest first. powers: [R] float32. keys: [B, R * M] uint64, which
    ascend as votes descend, of which counts [B] are written. votes: [1] float32, bits: the same memory as uint32.
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
            soon(rows, weights, voters, query, step)
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
                votes[0] = vote
                keys[query, written] = key(bits[0], seats[slot])
                written += 1
            seats[slot] = -1
        counts[query] = written


@compiled(makes_arrays=True)
def favourites(base, late, tail, vocabulary, past, liked, items, offsets, room, out):
    """The items of each history's most frequent tokens.

    base, late, tail: of a `Table` [n, C] of tokens, 0 for none. past: [B, H] int32. liked: how many tokens. items,
    offsets: those of each token. room: places of each token in out [B, liked * room] int32, PAD all over.
    """
    n, columns = base.shape
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


@compiled(fastmath={"reassoc", "contract"})
def inner(one, other):
    """Inner product of two vectors; summed in whatever order is fast, but always the same."""
    total = np.float32(0)
    for at in range(len(one)):
        total += one[at] * other[at]
    return total


@compiled
def score(users, embeddings, items, out):
    """Inner products of users [B, d] with items [B, K] int32 of a `Table` [n, d]; -inf for what is no row of it."""
    base, late, tail = embeddings
    n = len(base)
    for query in range(len(items)):
        for at in range(items.shape[1]):
            ahead(base, items, query, at, items.shape[1])
            row = locate(n, late, items[query, at])
            if 0 <= row < n:
                out[query, at] = inner(users[query], base[row])
            else:
                out[query, at] = inner(users[query], tail[row - n]) if row >= n else -np.inf


@compiled
def order_by(scores, bits, available, items, real, keys):
    """Which of items [B, K] int32 are real and may be shown, and keys as of `recsys.kernels.keys` to sort them by.

    scores: [B, K] float32, which become -inf where an item may not be shown; bits: the same memory as uint32.
    available: a `Table` [n] bool. real: [B, K] bool, keys: [B, K] uint64.
    """
    base, late, tail = available
    n = len(base)
    for query in range(len(items)):
        for at in range(items.shape[1]):
            row = locate(n, late, items[query, at])
            shown = row >= 0 and (base[row] if row < n else tail[row - n])
            scores[query, at] = scores[query, at] + np.float32(0) if shown else -np.inf  # -0 becomes 0
            real[query, at] = shown
            keys[query, at] = key(bits[query, at], at)


@compiled(makes_arrays=True)
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


@compiled(makes_arrays=True)
def join(lists, starts, shares, flags, past, drop_past, out, sources, kept):
    """The distinct items of several lists, with the flags of every list that named them.

    lists: [B, W] int32, list s in columns starts[s] to starts[s + 1], best first, PAD for none. Of each, the first
    shares[s] that are not in past [B, H] are taken, or may be, where past is not dropped. out: [B, W] int32, PAD all
    over, sources: [B, W] uint16, 0 all over; in the order in which items are met. kept: [B, W] bool, which of them a
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
def weigh(users, embeddings, late, new_embeddings, available, new_available, items, scores, bits, real, keys):
    """`score` and `order_by` in one: users [B, d], items [B, K]; a table's parts each by itself, which is less to read.

    embeddings, available: of the catalogue, behind which the rows `late` stand with new_embeddings and new_available.
    """
    score(users, Table(embeddings, late, new_embeddings), items, scores)
    order_by(scores, bits, Table(available, late, new_available), items, real, keys)


@compiled(makes_arrays=True)
def bring(
    lists,
    starts,
    shares,
    flags,
    past,
    drop_past,
    users,
    embeddings,
    late,
    new_embeddings,
    available,
    new_available,
    items,
    sources,
    kept,
    scores,
    bits,
    real,
    keys,
):
    """`join` and `weigh` in one; of all that is written, nothing need be there before."""
    items[:], sources[:], kept[:] = -1, 0, False
    join(lists, starts, shares, flags, past, drop_past, items, sources, kept)
    weigh(users, embeddings, late, new_embeddings, available, new_available, items, scores, bits, real, keys)


@compiled
def order(items, scores, sources, real, keys, of_items, of_scores, of_sources):
    """What is real of items, scores and sources [B, W], as keys order it, into `of_items` and so on [B, K]; else none.

    keys: [B, at least K] uint64, as of `recsys.kernels.keys`, or places alone.
    """
    for query in range(len(of_items)):
        for at in range(of_items.shape[1]):
            place = np.int64(keys[query, at] & LOW)
            shown = real[query, place]
            of_items[query, at] = items[query, place] if shown else np.int32(-1)
            of_scores[query, at] = scores[query, place] if shown else np.float32(0)
            of_sources[query, at] = sources[query, place] if shown else np.uint16(0)
