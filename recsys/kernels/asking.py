"""What a scan is asked of users: their numbers in whole steps, and how far below a score another may be as good."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled


@compiled
def norms(users, longest, most, out):
    """The norms of users [B, d] into out [B] float64; the first that times `longest` is not below `most`, or -1."""
    beyond = -1
    for query in range(len(users)):
        total = np.float64(0)
        for column in range(users.shape[1]):
            total += np.float64(users[query, column]) ** 2
        out[query] = np.sqrt(total)
        if beyond < 0 and not out[query] * longest < most:
            beyond = query
    return beyond


@compiled
def round_users(users, most, least, queries, steps, rest):
    """Users [B, d] in whole steps, `most` at most, into queries [B, P] int16; their steps, and how far they are off.

    least: of what the largest number of a user counts as.
    """
    for query in range(len(users)):
        largest = np.float64(least)
        for column in range(users.shape[1]):
            largest = max(largest, abs(np.float64(users[query, column])))
        step, total = largest / most, np.float64(0)
        for column in range(users.shape[1]):
            near = np.rint(users[query, column] / step)
            queries[query, column] = np.int16(near)
            total += (users[query, column] - near * step) ** 2
        steps[query], rest[query] = step, np.sqrt(total)


@compiled
def margins_of(norms, rest, steps, off, long, step, product_off, product_least, farthest, out):
    """How far below a score another may seem to be and be as good, in steps, into out [B] int64.

    |q.x - q'.x'| <= |q| |x - x'| + |q - q'| |x'|; the score that k rows reach and a row's may both be off by it. norms,
    rest, steps: [B] of users. off, long, step: of a table. product_off, product_least: of inner products of float32.
    """
    for query in range(len(norms)):
        total = norms[query] * off + rest[query] * long + norms[query] * product_off + product_least
        out[query] = np.int64(min(np.ceil(2 * total / (steps[query] * step)), np.float64(farthest))) + 1


@compiled
def halve(queries, halves, less):
    """The high and the low bytes of queries [B, at least P] int16, both with signs, into halves [B, 2, P] int8.

    less: [B] int32, taken from inner products with bytes that are 128 more than they are.
    """
    for query in range(len(queries)):
        total = np.int64(0)
        for column in range(halves.shape[2]):
            number = np.int64(queries[query, column])
            low = ((number + 128) & 255) - 128
            halves[query, 0, column], halves[query, 1, column] = np.int8((number - low) >> 8), np.int8(low)
            total += number
        less[query] = np.int32(-128 * total)


@compiled(makes_arrays=True)
def ask(users, norms, of, most, least, farthest, queries, margins, halves, less):
    """All that a scan is told of users [B, d]: queries, as of `round_users`, margins, and as of `halve` what is less.

    of: what `margins_of` is told of a table. halves: of nobody where rows are not to be looked at WIDE at once. In one
    piece: where no cache has it, each call of a kernel is 10 us.
    """
    off, long, step, product_off, product_least = of
    steps, rest = np.empty(len(users)), np.empty(len(users))
    round_users(users, most, least, queries, steps, rest)
    margins_of(norms, rest, steps, off, long, step, product_off, product_least, farthest, margins)
    if len(halves):
        halve(queries, halves, less)
